"""The scores of a sweep's winner: the card on the first screen of its report, and the table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import pandas as pd

from analysis.data.runs import count_validation, name_draw
from analysis.data.tracked_sweep import TrackedSweep
from analysis.report.provenance import count_core_hours
from analysis.statistics import paired_interval, t_interval, wilson_interval
from analysis.tables.rendering import (
    NOTHING,
    format_labels,
    format_mean,
    format_setting,
    setting_name,
)
from weakdis_core.paper import Published
from weakdis_core.scores.counts import count_of

FEWEST_FOR_INTERVAL = 3
"""Fewest seeds with an interval: that of two seeds is thirteen times their standard error wide."""

_SCORES = {
    "pixels": "relation_accuracy_pixels",
    "encoded": "relation_accuracy_encoded",
    "latent": "relation_accuracy_latent",
    "factors": "factor_accuracy",
}
_SHARPNESS = {
    "sharpness of reconstructions": "reconstruction_psnr",
    "sharpness after a relation": "manipulation_psnr",
}
PIXELS = "test/relation_accuracy_pixels"


class Measure(NamedTuple):
    """A score and its uncertainty, both as text; the latter is empty if it is unknown."""

    value: str
    spread: str = ""

    def __str__(self) -> str:
        """Return both."""
        return f"{self.value} ({self.spread})" if self.spread else self.value


def measure_run(run: pd.Series[Any], metric: str) -> Measure:
    """Measure a score of one run, an accuracy with Wilson's 95% interval over images."""
    value = run.get(metric)
    if value is None or pd.isna(value):
        return Measure(NOTHING)
    part, _, name = metric.partition("/")
    scores = {str(key).removeprefix(f"{part}/"): number for key, number in run.items()}
    images = count_of(name, scores)
    if images is None and part == "val":
        images = count_validation(run)
    if metric.endswith("psnr") or images is None:
        return Measure(_format(value, metric))
    ends = wilson_interval(round(value * int(images)), int(images))
    return Measure(_format(value, metric), f"{ends.low:.1%} to {ends.high:.1%}")


def measure_seeds(runs: pd.DataFrame, metric: str) -> Measure:
    """Measure the mean of a score over seeds, with its 95% t-interval, or with both of two."""
    values = runs[metric].dropna().tolist() if metric in runs else []
    if not values:
        return Measure(NOTHING)
    mean, low, high, n = vars(t_interval(values)).values()
    ends, word = (sorted(values), " and ") if n < FEWEST_FOR_INTERVAL else ([low, high], " to ")
    if not metric.endswith("psnr"):
        # Accuracies lie in [0, 1], but the t-interval of their mean may not.
        ends = [min(max(end, 0.0), 1.0) for end in ends]
    spread = word.join(_format(end, metric) for end in ends) if n > 1 else ""
    return Measure(_format(mean, metric), spread)


def measure_winner(sweep: TrackedSweep, name: str) -> Measure:
    """Measure a score of a sweep's winner on test: over its fresh seeds, or else of its trial."""
    fresh, best = measure_seeds(sweep.fresh, f"test/{name}"), sweep.best
    return fresh if best is None or len(sweep.fresh) else measure_run(best, f"test/{name}")


def build_score_card(sweep: TrackedSweep) -> dict[str, Measure]:
    """Build the score card of a sweep, numbers with notes; without a winner it has no scores."""
    best, seeds = sweep.best, len(sweep.fresh)
    card = {}
    if best is not None:
        test, spread = measure_winner(sweep, sweep.metric.removeprefix("val/"))
        fresh = f"{seeds} fresh seed{'s' * (seeds > 1)}: {spread or test}"
        oracle = measure_winner(sweep, "oracle_accuracy").value
        sharp, changed = (measure_winner(sweep, name).value for name in _SHARPNESS.values())
        scores = {
            "validation accuracy": measure_run(best, sweep.metric),
            "test accuracy": Measure(test, fresh if seeds else spread),
            "oracle accuracy": Measure(oracle, "judges the pictures"),
            "sharpness": Measure(sharp, f"{changed} after a relation"),
            "labels": Measure(
                format_labels(best["data.labels"], name_draw(best)), "labelled images"
            ),
        }
        card = {name: each for name, each in scores.items() if each.value != NOTHING}
    words = {"pruned": "stopped early", "out_of_time": "out of time"}
    counts = sweep.trials["outcome"].replace(words).value_counts().items()
    return card | {
        "trials": Measure(f"{len(sweep.trials)}", ", ".join(f"{n} {name}" for name, n in counts)),
        "cost": Measure(f"{60 * count_core_hours(sweep):.0f}", "core-minutes"),
        "data": Measure(sweep.source, f"{sweep.variant} images"),
    }


def build_scores(sweep: TrackedSweep, best: pd.Series[Any], quoted: Published) -> pd.DataFrame:
    """Build the table of the scores of a sweep's winner, beside the paper's latent accuracy."""
    trial = f"trial {int(best['trial_id'])}"
    row = {each.variant: each.this_work for each in quoted.table1}.get(sweep.variant)
    paper = {"latent": f"{row.accuracy:.1%}"} if row else {}
    return pd.DataFrame(
        {
            "Score": name,
            f"Validation, {trial}": str(measure_run(best, f"val/{metric}")),
            f"Test, {trial}": str(measure_run(best, f"test/{metric}")),
            "Test, fresh seeds": str(measure_seeds(sweep.fresh, f"test/{metric}")),
            "Paper": paper.get(name, NOTHING),
        }
        for name, metric in (_SCORES | _SHARPNESS | _own_scores(best)).items()
    )


def _own_scores(best: pd.Series[Any]) -> dict[str, str]:
    """Return the further scores of own pictures by their title; none of shipped variants."""
    start = "test/balanced_accuracy_"
    found = {}
    for metric in best.dropna().index:
        if str(metric).startswith(start):
            factor = str(metric).removeprefix(start)
            found[f"{factor} read right"] = f"factor_accuracy_{factor}"
            found[f"{factor}, mean over its values"] = f"balanced_accuracy_{factor}"
            found[f"{factor}, always its most frequent value"] = f"majority_accuracy_{factor}"
    if best.get("test/images_absent", 0) > 0:
        for kind in ("encoded", "pixels"):
            title = f"{kind}, into combinations without pictures"
            found[title] = f"relation_accuracy_{kind}_absent"
    return found


def compare_confirmed(sweep: TrackedSweep) -> pd.DataFrame:
    """Compare the configurations that were confirmed on fresh seeds, the best on validation first.

    Empty without any, and if MLflow lacks confirm runs.
    """
    choice = sweep.choice.index
    if choice.empty or PIXELS not in sweep.confirmed or sweep.lacking["confirm runs"]:
        return pd.DataFrame()
    own = sweep.confirmed[sweep.confirmed["status"].eq("FINISHED")].sort_values("seed")
    scores = own.pivot_table(index="seed", columns="config_hash", values=PIXELS)
    rows = []
    for name in choice:
        runs, first = own[own["config_hash"].eq(name)], name == choice[0]
        run = runs.iloc[0]
        behind = paired_interval(scores[choice[0]].to_numpy(), scores[name].to_numpy())
        rows.append(
            {
                "Configuration": name,
                "Labels": format_labels(run["data.labels"], name_draw(run)),
                "Seeds": f"{len(runs)}",
                "Pixels, test": str(measure_seeds(runs, PIXELS)),
                "Behind the first": NOTHING if first else format_mean(behind),
            }
        )
    return pd.DataFrame(rows)


def compare_sweeps(sweeps: Sequence[TrackedSweep]) -> pd.DataFrame:
    """Compare sweeps: a row for each searched setting, score and cost, a column for each sweep."""
    columns = {}
    for sweep in sweeps:
        best, params = sweep.best, sweep.run.data.params
        rows = {"best trial": NOTHING if best is None else str(int(best["trial_id"]))}
        if best is not None:
            rows |= {setting_name(name): format_setting(best[name]) for name in sweep.space}
        rows |= {name: str(each) for name, each in build_score_card(sweep).items()}
        rows |= {
            name: params[name] for name in ("objective", "sampler", "preset") if name in params
        }
        columns[sweep.name] = rows | {"steps": str(sweep.steps)}
    return pd.DataFrame(columns).fillna(NOTHING).rename_axis("").reset_index()


def _format(value: float, metric: str) -> str:
    return f"{value:.1f} dB" if metric.endswith("psnr") else f"{value:.1%}"
