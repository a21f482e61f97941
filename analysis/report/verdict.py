"""What a sweep found, in three sentences: who won, by how much and how surely, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.data.setting_importance import FEWEST
from analysis.data.tracked_sweep import TrackedSweep
from analysis.statistics import UNDEFINED, Interval, paired_interval, t_interval, wilson_interval
from analysis.tables.rendering import format_mean, setting_name
from weakdis_core.paper import Published

PIXELS = "test/relation_accuracy_pixels"

_LATENT = "relation_accuracy_latent"
# What a share is of, by the metric that counts it.
_OF = {
    "pixels": "decoded pictures",
    "encoded": "codes of images",
    "latent": "codes drawn from the priors",
}


@dataclass(frozen=True)
class Confirmation:
    """A configuration that was trained again on fresh seeds.

    Attributes:
        config_hash: The configuration.
        labels: Size of its labelled subset.
        pixels: Mean pixel accuracy on test with its 95% t-interval over seeds.
        behind: Paired difference to the best configuration on the same seeds; NaN for that itself.
    """

    config_hash: str
    labels: int
    pixels: Interval
    behind: Interval


def write_verdict(sweep: TrackedSweep, importance: pd.DataFrame, quoted: Published) -> list[str]:
    """Sum up a sweep in three sentences, or one without a score yet. Commands are in backticks.

    Where MLflow lacks some of it, the first sentence counts that, and names no winner of the rest.

    `importance` is the frame of `analysis.data.setting_importance.compute_importances`.
    """
    best, first = sweep.best, [sweep.deficit] if sweep.deficit else []
    if best is None:
        return first or ["No trial has a score yet."]
    return [*first, _who(sweep, best), _how_much(sweep, best, quoted), _why(sweep, importance)]


def compare_confirmed(sweep: TrackedSweep) -> list[Confirmation]:
    """Compare the confirmed configurations, the best on validation first."""
    choice = sweep.choice
    if choice.empty or PIXELS not in sweep.confirmed:
        return []
    own = sweep.confirmed[sweep.confirmed["status"].eq("FINISHED")].sort_values("seed")
    scores = own.pivot_table(index="seed", columns="config_hash", values=PIXELS)
    first = scores[choice.index[0]].to_numpy()
    found: list[Confirmation] = []
    for name in choice.index:
        labels = own.loc[own["config_hash"].eq(name), "data.labels"].iloc[0]
        pixels = scores[name].to_numpy()
        behind = paired_interval(first, pixels) if found else UNDEFINED
        found.append(Confirmation(name, int(labels), t_interval(pixels), behind))
    return found


def _who(sweep: TrackedSweep, best: pd.Series[Any]) -> str:
    among = len(sweep.trials) + sweep.lacking["trials"]
    won = f"Trial {best['trial_id']} won among {among}"
    if sweep.run.info.status == "RUNNING":
        won = f"Trial {best['trial_id']} leads so far, among {among}"
    found = sweep.found
    if found is not None and found["config_hash"] != best["config_hash"]:
        won += f", on fresh seeds also before {found['trial_id']}, the best of the search"
    settings = ", ".join(f"{setting_name(name)} {_value(best[name])}" for name in sweep.space)
    return f"{won}{': ' + settings if settings else ''}."


def _how_much(sweep: TrackedSweep, best: pd.Series[Any], quoted: Published) -> str:
    own = best["config_hash"]
    confirmed = [each for each in compare_confirmed(sweep) if each.config_hash == own]
    if not confirmed:
        return _on_validation(sweep, best) + _beside(sweep, best, quoted)
    pixels = confirmed[0].pixels
    seeds = f"{pixels.n} fresh seed{'s' if pixels.n > 1 else ''}"
    interval = "one seed has no interval" if pixels.n == 1 else "95% t-interval over seeds"
    return (
        f"Trained again on {seeds} and judged once on test images, it changes what a relation "
        f"should, and only that, in {format_mean(pixels)} of {_OF['pixels']} ({interval})"
        + _beside(sweep, best, quoted)
    )


def _on_validation(sweep: TrackedSweep, best: pd.Series[Any]) -> str:
    lacking = sweep.lacking
    images, score = int(best["training.evaluation_samples"]), float(best[sweep.metric])
    tries = len(sweep.scored) + lacking["trials"]
    ends = wilson_interval(round(score * images), images)
    others = sweep.complete[sweep.metric].drop(best.name, errors="ignore")
    known = len(others) and not lacking["trials"]
    ahead = f", {score - others.max():.3f} ahead of the next" if known else ""
    confirm = f"`python sweeps/run.py --resume {sweep.name} --confirm-seeds 5` confirms it"
    if sweep.run.info.status == "RUNNING":
        confirm = "it is confirmed on fresh seeds"
    if lacking["confirm runs"]:
        confirm = "MLflow has its confirm runs again"
    return (
        f"It changes what a relation should, and only that, in {score:.3f} of "
        f"{_OF[sweep.metric.rpartition('_')[2]]} ({ends.low:.3f} to {ends.high:.3f} for {images} "
        f"validation images, one seed{ahead}), as the best of {tries} tries a flattering "
        f"number until {confirm}"
    )


def _beside(sweep: TrackedSweep, best: pd.Series[Any], quoted: Published) -> str:
    """The paper's number beside ours of the same kind, and the end of the sentence."""
    paper = [row.this_work for row in quoted.table1 if row.variant == sweep.variant]
    if not paper:
        return "."
    own, part = best.to_frame().T, "val"
    if best["config_hash"] in sweep.choice.index:
        own, part = sweep.confirmed[sweep.confirmed["config_hash"].eq(best["config_hash"])], "test"
    scores = own.get(f"{part}/{_LATENT}", pd.Series(dtype=float))
    return (
        f"; latent accuracy, the paper's measure, is {format_mean(t_interval(scores.to_numpy(float)))}, "
        f"and the paper reports {paper[0].accuracy:.3f} with {paper[0].labels} labels, without an "
        "interval and on official images."
    )


def _why(sweep: TrackedSweep, importance: pd.DataFrame) -> str:
    if importance.empty:
        scored = len(sweep.scored)
        few = f"{scored} trials with a score are too few, {FEWEST} are needed"
        return f"Why cannot be said: {few if scored < FEWEST else 'all scores are the same'}."
    first = importance.iloc[0]
    rivals = importance[importance["high"] > first["low"]]["setting"].tolist()[1:]
    names = ", ".join(map(setting_name, rivals))
    sure = f"though by so few trials {names} may do as much" if rivals else "more than any other"
    return (
        f"What made the difference was {setting_name(first['setting'])}: it explains "
        f"{first['importance']:.0%} of the variance of scores ({first['low']:.0%} to "
        f"{first['high']:.0%}), {sure}."
    )


def _value(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) and value % 1 else f"{value:g}"
