"""Tables of the studies: declared rows in, frames of formatted cells out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from analysis.data.declared import DeclaredRows, read_metric
from analysis.data.runs import name_draw
from analysis.statistics import t_interval
from analysis.tables.rendering import NOTHING, format_labels, format_mean, format_value
from weakdis_core import rows
from weakdis_core.config.settings import Source
from weakdis_core.data.variants import get_variant
from weakdis_core.rows import DeclaredRun, Row
from weakdis_core.studies import STUDIES, Ablation

ACCURACIES = {
    "Latent": "relation_accuracy_latent",
    "Encoded": "relation_accuracy_encoded",
    "Pixels": "relation_accuracy_pixels",
    "Factors": "factor_accuracy",
}
"""Columns of the accuracies, and their scores."""

_PSNR = {"PSNR, dB": "reconstruction_psnr", "after a relation": "manipulation_psnr"}
_PICTURES = {**_PSNR, "Nuisance kept": "nuisance_kept"}

_CONTROLS = {
    **ACCURACIES,
    "Encoded, affected": "relation_accuracy_encoded_affected",
    "Pixels, affected": "relation_accuracy_pixels_affected",
}
_SPREAD = {
    "Spread of a component": "component_spread",
    "its floor": "",
    "Distance to the nearest": "component_distance",
    **_PICTURES,
    "Core-seconds": "cpu_seconds",
}
_SHARPNESS = {
    **_PSNR,
    "true code instead": "swap_psnr",
    "sprite moved to its place": "manipulation_psnr_aligned",
    "moved by, pixels": "manipulation_shift",
}
_EACH_SEED = {
    **ACCURACIES,
    "Oracle": "oracle_accuracy",
    "PSNR, dB": "reconstruction_psnr",
    "Core-seconds": "cpu_seconds",
}


def build_ablation(declared: DeclaredRows, source: Source, table: Ablation) -> pd.DataFrame:
    """Build an ablation: our model's scores, and the paired difference that each change makes."""
    full = table.unchanged(source)
    metrics = ACCURACIES | _PICTURES
    if np.isnan(declared.interval(full, "nuisance_kept").value):
        del metrics["Nuisance kept"]
    lines = [{"Model": "ours", **_means(declared, full, metrics)}]
    for change, row in table.changed(source).items():
        differences = {
            name: declared.difference(row, full, metric) for name, metric in metrics.items()
        }
        shown = {
            name: format_mean(interval, len(row), _digits(metrics[name]), sign=True)
            for name, interval in differences.items()
        }
        lines.append({"Model": change, **shown, "Seeds": f"{differences['Latent'].n}"})
    return pd.DataFrame(lines)


def build_few_labels(declared: DeclaredRows, source: Source) -> pd.DataFrame:
    """Build the table of pixel accuracies with few labels that are drawn at random."""
    lines = []
    for variant in rows.VARIANTS:
        line = {"Variant": variant}
        for size in rows.FEW_SIZES:
            row = rows.with_labels(variant, source, size)
            pixels = declared.interval(row, ACCURACIES["Pixels"])
            line[f"{size} labels"] = format_mean(pixels, len(row), 3)
        seconds = declared.interval(rows.ours(variant, source), "cpu_seconds")
        lines.append(line | {"Core-seconds": format_mean(seconds, len(rows.SEEDS), 0)})
    return pd.DataFrame(lines)


def build_labels(declared: DeclaredRows, source: Source) -> pd.DataFrame:
    """Build the table of accuracies by the labelled subset, of rows that have a finished run."""
    lines = []
    for variant in rows.VARIANTS:
        for row in STUDIES["labels"](variant, source):
            if declared.seeds(row):
                data = row[0].config.data
                labels = format_labels(data.labels, data.label_draw)
                line = {"Variant": variant, "Labels": labels}
                lines.append(line | _means(declared, row, ACCURACIES | _PSNR))
    return pd.DataFrame(lines)


def build_controls(declared: DeclaredRows, source: Source) -> pd.DataFrame:
    """Build the table of controls, with the chance level of `compute_chance`."""
    tried: list[tuple[str, Row]] = []
    for variant in rows.CONTROL_VARIANTS:
        tried.append(("labels shuffled", rows.shuffled(variant, source)))
        tried.append(("untrained", rows.untrained(variant, source)))
    tried.append(("literal objective", rows.literal(source)))
    return pd.DataFrame([_format_control(declared, name, row) for name, row in tried])


def compute_chance(variant: str) -> tuple[float, float]:
    """Compute the accuracy of guessing all factors, and the affected one of a random relation."""
    known = get_variant(variant)
    n_values = dict(zip(known.factor_names, known.n_values, strict=True))
    affected = [1 / n_values[relation.factor] for relation in known.relations]
    return 1 / known.n_combinations, float(np.mean(affected))


def build_spread(declared: DeclaredRows, source: Source) -> pd.DataFrame:
    """Build the table of the spread of components, the quality of pictures, and the cost."""
    ours = _our_rows(source)
    table = _table(declared, "Variant", ours, _SPREAD).drop(columns="Seeds")
    table["its floor"] = [
        format_value(row[0].config.loss.covariance_floor ** 0.5, 3) for row in ours.values()
    ]
    return table


def build_sharpness(declared: DeclaredRows, source: Source) -> pd.DataFrame:
    """Build the table of the sharpness of pictures, reconstructed and after a relation."""
    return _table(declared, "Variant", _our_rows(source), _SHARPNESS)


def build_own(declared: DeclaredRows) -> pd.DataFrame:
    """Build the table of the study of own pictures, without data sets that have no finished run."""
    lines = []
    for name in rows.OWN_EXAMPLES:
        runs = declared.own(name)
        if runs.empty:
            continue
        first = runs.iloc[0]
        line = {"Data": name, "Labels": format_labels(first["data.labels"], name_draw(first))}
        for head, metric in _EACH_SEED.items():
            interval = t_interval(read_metric(runs, metric).tolist())
            line[head] = format_mean(interval, len(rows.FEWER_SEEDS), _digits(metric))
        lines.append(line | {"Seeds": f"{len(runs)}"})
    return pd.DataFrame(lines)


def list_seeds(declared: DeclaredRows, wanted: Iterable[Row]) -> pd.DataFrame:
    """Build the table of all finished runs of some rows, without duplicates."""
    lines = {}
    for row in wanted:
        columns = {name: declared.values(row, metric) for name, metric in _EACH_SEED.items()}
        for seed in declared.runs([row])["seed"]:
            shown = {
                name: format_value(columns[name][seed], _digits(metric))
                for name, metric in _EACH_SEED.items()
            }
            lines[row[0].row, seed] = {"Model": row[0].row, "Seed": f"{seed}", **shown}
    return pd.DataFrame(lines.values())


def format_oracle(declared: DeclaredRows, row: Row) -> str:
    """Format the mean accuracy of a row's oracles, one for each data seed."""
    return format_value(declared.interval(row, "oracle_accuracy").value, 3)


def _our_rows(source: Source) -> dict[str, Row]:
    return {variant: rows.ours(variant, source) for variant in rows.VARIANTS}


def _table(
    declared: DeclaredRows, head: str, shown: Mapping[str, Row], metrics: Mapping[str, str]
) -> pd.DataFrame:
    lines = [{head: name, **_means(declared, row, metrics)} for name, row in shown.items()]
    return pd.DataFrame(lines)


def _means(declared: DeclaredRows, row: Row, metrics: Mapping[str, str]) -> dict[str, str]:
    """Format the means of some metrics over the seeds of a row, and the number of seeds."""
    means = {
        name: format_mean(declared.interval(row, metric), len(row), _digits(metric))
        for name, metric in metrics.items()
    }
    return means | {"Seeds": f"{declared.seeds(row)}"}


def _digits(metric: str) -> int:
    return 0 if metric == "cpu_seconds" else 1 if "psnr" in metric else 3


def _format_control(declared: DeclaredRows, name: str, row: Row) -> dict[str, str]:
    (run,) = row
    every, affected = compute_chance(run.variant)
    return {
        "Variant": run.variant,
        "Control": name,
        **{kind: _format_range(declared, run, metric) for kind, metric in _CONTROLS.items()},
        "Oracle": format_oracle(declared, row),
        "Chance": format_value(every, 4),
        "Chance, affected": format_value(affected, 3),
        "Worst factor (chance)": _find_worst_factor(declared, run),
    }


def _format_range(declared: DeclaredRows, run: DeclaredRun, metric: str) -> str:
    """Format an accuracy of one run and its interval over images: `0.334 (0.321 to 0.347)`."""
    interval = declared.accuracy(run, metric)
    if np.isnan(interval.low):
        return format_value(interval.value, 3)
    return f"{interval.value:.3f} ({interval.low:.3f} to {interval.high:.3f})"


def _find_worst_factor(declared: DeclaredRows, run: DeclaredRun) -> str:
    """Format the factor whose accuracy is lowest relative to chance."""
    known = get_variant(run.variant)
    read = [
        (declared.accuracy(run, f"factor_accuracy_{name}").value, 1 / n, name)
        for name, n in zip(known.factor_names, known.n_values, strict=True)
    ]
    value, guess, name = min(read, key=lambda each: each[0] / each[1])
    return NOTHING if np.isnan(value) else f"{name} {value:.3f} ({guess:.3f})"
