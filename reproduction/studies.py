"""Tables of what was tried on our model: ablation, labels, controls, spread and cost."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.text import NOTHING, mean
from reproduction import ablations, cells
from reproduction.ablations import Ablation
from reproduction.cells import Cell, Row
from reproduction.evidence import Evidence
from reproduction.tables import (
    ACCURACIES,
    ALIGNED,
    MANIPULATED,
    NUISANCE,
    PSNR,
    SWAPPED,
    accuracies,
    cell_text,
    number,
    oracle,
)
from weakdis_core.data.variants import get_variant
from weakdis_core.settings import Source

PICTURES = {
    "PSNR, dB": PSNR,
    "after a relation": MANIPULATED,
    "Nuisance kept": NUISANCE,
}
"""How good pictures are: the names of the scores in the tables, and the scores behind them."""


def ablation(evidence: Evidence, source: Source, table: Ablation) -> pd.DataFrame:
    """Our model's scores, then the difference that each change makes to them on the same seeds."""
    full = ablations.unchanged(table, source)
    metrics = ACCURACIES | PICTURES
    if np.isnan(evidence.interval(full, NUISANCE).value):
        metrics = {name: metric for name, metric in metrics.items() if metric != NUISANCE}
    digits = {name: _digits(metric) for name, metric in metrics.items()}
    first = {name: cell_text(evidence, full, m, digits[name]) for name, m in metrics.items()}
    rows = [{"Model": "ours", **first, "Seeds": f"{len(evidence.runs([full]))}"}]
    for change, row in ablations.changed(table, source).items():
        differences = {
            name: mean(evidence.difference(row, full, m), len(full), digits[name], sign=True)
            for name, m in metrics.items()
        }
        pairs = evidence.difference(row, full, ACCURACIES["Latent"]).n
        rows.append({"Model": change, **differences, "Seeds": f"{pairs}"})
    return pd.DataFrame(rows)


def _digits(metric: str) -> int:
    """Decimals of a score: decibels have one."""
    return 1 if "psnr" in metric else 3


def labels(evidence: Evidence, source: Source, variant: str) -> pd.DataFrame:
    """Accuracies by the size of the labelled subset."""
    rows = []
    for size in cells.LABELS:
        row = cells.with_labels(variant, source, size)
        seeds = f"{len(evidence.runs([row]))}"
        rows.append({"Labels": f"{size}", **accuracies(evidence, row), "Seeds": seeds})
    return pd.DataFrame(rows)


def controls(evidence: Evidence, source: Source) -> pd.DataFrame:
    """What must be at chance, and a model whose latent accuracy hides what its encoder cannot read.

    Chance is that of guessing every factor's value, and of guessing the affected factor's alone.
    """
    rows: list[tuple[str, str, Row]] = []
    for variant in cells.CONTROL_VARIANTS:
        rows.append((variant, "labels shuffled", cells.shuffled(variant, source)))
        rows.append((variant, "untrained", cells.untrained(variant, source)))
    rows.append((cells.LITERAL_VARIANT, "literal objective", cells.literal(source)))
    lines = []
    for variant, name, (cell,) in rows:
        every, one = chance(variant)
        columns = {kind: _with_range(evidence, cell, m) for kind, m in ACCURACIES.items()}
        affected = {
            f"{kind}, affected": _with_range(evidence, cell, f"{ACCURACIES[kind]}_affected")
            for kind in ("Encoded", "Pixels")
        }
        guesses = {"Chance": number(every, 4), "Chance, affected": number(one)}
        worst = {"Worst factor (chance)": _worst_factor(evidence, cell)}
        lines.append(
            {
                **{"Variant": variant, "Control": name, **columns, **affected},
                **{"Oracle": oracle(evidence, (cell,)), **guesses, **worst},
            }
        )
    return pd.DataFrame(lines)


def _with_range(evidence: Evidence, cell: Cell, metric: str) -> str:
    """`0.334 (0.321 to 0.347)`: one model's accuracy and its interval over images."""
    interval = evidence.accuracy(cell, metric)
    if np.isnan(interval.low):
        return number(interval.value)
    return f"{interval.value:.3f} ({interval.low:.3f} to {interval.high:.3f})"


def _worst_factor(evidence: Evidence, cell: Cell) -> str:
    """The factor that the encoder reads least above chance."""
    declared = get_variant(cell.variant)
    read = [
        (evidence.accuracy(cell, f"factor_accuracy_{name}").value, 1 / n, name)
        for name, n in zip(declared.factor_names, declared.n_values, strict=True)
    ]
    value, guess, name = min(read, key=lambda each: each[0] / each[1])
    return NOTHING if np.isnan(value) else f"{name} {value:.3f} ({guess:.3f})"


def chance(variant: str) -> tuple[float, float]:
    """Accuracy of guessing: all factors at once, and the affected one, over uniform relations."""
    declared = get_variant(variant)
    n_values = dict(zip(declared.factor_names, declared.n_values, strict=True))
    affected = [1 / n_values[relation.factor] for relation in declared.relations]
    return 1 / declared.n_combinations, float(np.mean(affected))


def spread(evidence: Evidence, source: Source) -> pd.DataFrame:
    """How wide components are and how far apart, how sharp the pictures, and what it cost."""
    rows = []
    for variant in cells.VARIANTS:
        row = cells.ours(variant, source)
        floor = row[0].config.loss.covariance_floor ** 0.5
        rows.append(
            {
                "Variant": variant,
                "Spread of a component": cell_text(evidence, row, "component_spread"),
                "its floor": number(floor),
                "Distance to the nearest": cell_text(evidence, row, "component_distance"),
                **{
                    name: cell_text(evidence, row, metric, _digits(metric))
                    for name, metric in PICTURES.items()
                },
                "Core-seconds": cell_text(evidence, row, "cpu_seconds", 0),
            }
        )
    return pd.DataFrame(rows)


def sharpness(evidence: Evidence, source: Source) -> pd.DataFrame:
    """Where the sharpness of pictures goes between a reconstruction and a relation."""
    metrics = {
        "PSNR, dB": PSNR,
        "after a relation": MANIPULATED,
        "true code instead": SWAPPED,
        "sprite moved to its place": ALIGNED,
        "moved by, pixels": "manipulation_shift",
    }
    rows = []
    for variant in cells.VARIANTS:
        row = cells.ours(variant, source)
        shown = {
            name: cell_text(evidence, row, metric, _digits(metric))
            for name, metric in metrics.items()
        }
        rows.append({"Variant": variant, **shown, "Seeds": f"{len(evidence.runs([row]))}"})
    return pd.DataFrame(rows)
