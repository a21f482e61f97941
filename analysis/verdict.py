"""What a sweep found, in three sentences: who won, by how much and how surely, and why."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from analysis.importance import FEWEST
from analysis.search_figures import short
from analysis.statistics import Interval, paired_interval, t_interval, wilson_interval
from analysis.sweep import Sweep
from analysis.text import mean
from weakdis_core.paper import Published

PIXELS = "test/relation_accuracy_pixels"

CONFIRMED = ("config_hash", "labels", "seeds", "pixels", "low", "high", "behind", "behind_low",
             "behind_high")  # fmt: skip
"""Columns of `confirmations`."""

_LATENT = "relation_accuracy_latent"
# What a share is of, by the metric that counts it.
_OF = {
    "pixels": "decoded pictures",
    "encoded": "codes of images",
    "latent": "codes drawn from the priors",
}


def verdict(sweep: Sweep, importance: pd.DataFrame, quoted: Published) -> list[str]:
    """Three sentences on a sweep; fewer where it has not come so far. Commands are in backticks.

    Args:
        sweep: The sweep.
        importance: The frame of `analysis.importance.importances`.
        quoted: The paper's numbers.
    """
    best = sweep.best
    if best is None:
        return ["No trial has a score yet."]
    told = (_who(sweep, best), _how_much(sweep, best, quoted), _why(sweep, importance))
    return list(told)


def confirmations(sweep: Sweep) -> pd.DataFrame:
    """The confirmed configurations, each against the best of them on the same seeds.

    Returns:
        Columns `CONFIRMED`, the configuration that is best on validation first: mean pixel
        accuracy on test with its 95% t-interval over seeds, and the paired difference to the
        first (`behind`), NaN for the first itself.
    """
    choice = sweep.choice
    if choice.empty or PIXELS not in sweep.confirmed:
        return pd.DataFrame(columns=list(CONFIRMED))
    own = sweep.confirmed[sweep.confirmed["status"].eq("FINISHED")].sort_values("seed")
    scores = own.pivot_table(index="seed", columns="config_hash", values=PIXELS)
    lines = []
    for name in choice.index:
        over = t_interval(scores[name].to_numpy())
        behind = Interval(math.nan, math.nan, math.nan, 0)
        if name != choice.index[0]:
            behind = paired_interval(scores[choice.index[0]].to_numpy(), scores[name].to_numpy())
        labels = own.loc[own["config_hash"].eq(name), "data.labels"].iloc[0]
        lines.append((name, int(labels), over.n, over.value, over.low, over.high,
                      behind.value, behind.low, behind.high))  # fmt: skip
    return pd.DataFrame(lines, columns=list(CONFIRMED))


def _who(sweep: Sweep, best: pd.Series[Any]) -> str:
    won = f"Trial {best['trial_id']} won among {len(sweep.trials)}"
    if sweep.run.info.status == "RUNNING":
        won = f"Trial {best['trial_id']} leads so far, among {len(sweep.trials)}"
    found = sweep.found
    if found is not None and found["config_hash"] != best["config_hash"]:
        won += f", on fresh seeds also before {found['trial_id']}, the best of the search"
    settings = ", ".join(f"{short(name)} {_value(best[name])}" for name in sweep.space)
    return f"{won}{': ' + settings if settings else ''}."


def _how_much(sweep: Sweep, best: pd.Series[Any], quoted: Published) -> str:
    confirmed = confirmations(sweep)
    if confirmed.empty:
        return _on_validation(sweep, best) + _beside(sweep, best, quoted)
    row = confirmed.iloc[0]
    pixels = mean(Interval(row["pixels"], row["low"], row["high"], row["seeds"]))
    seeds = f"{row['seeds']} fresh seed{'s' if row['seeds'] > 1 else ''}"
    interval = "one seed has no interval" if row["seeds"] == 1 else "95% t-interval over seeds"
    return (
        f"Trained again on {seeds} and judged once on test images, it changes what a relation "
        f"should, and only that, in {pixels} of {_OF['pixels']} ({interval})"
        + _beside(sweep, best, quoted)
    )


def _on_validation(sweep: Sweep, best: pd.Series[Any]) -> str:
    images, score = int(best["training.evaluation_samples"]), float(best[sweep.metric])
    ends = wilson_interval(round(score * images), images)
    others = sweep.complete[sweep.metric].drop(best.name, errors="ignore")
    ahead = f", {score - others.max():.3f} ahead of the next" if len(others) else ""
    confirm = f"`python sweeps/run.py --resume {sweep.name} --confirm-seeds 5` confirms it"
    if sweep.run.info.status == "RUNNING":
        confirm = "it is confirmed on fresh seeds"
    return (
        f"It changes what a relation should, and only that, in {score:.3f} of "
        f"{_OF[sweep.metric.rpartition('_')[2]]} ({ends.low:.3f} to {ends.high:.3f} for {images} "
        f"validation images, one seed{ahead}), as the best of {len(sweep.scored)} tries a "
        f"flattering number until {confirm}"
    )


def _beside(sweep: Sweep, best: pd.Series[Any], quoted: Published) -> str:
    """The paper's number beside ours of the same kind, and the end of the sentence."""
    paper = [row.this_work for row in quoted.table1 if row.variant == sweep.variant]
    if not paper:
        return "."
    own = sweep.confirmed[sweep.confirmed["config_hash"].isin(sweep.choice.index[:1])]
    if own.empty:
        own = best.to_frame().T
    scores = own.get(f"{'val' if sweep.choice.empty else 'test'}/{_LATENT}", pd.Series(dtype=float))
    return (
        f"; latent accuracy, the paper's measure, is {mean(t_interval(scores.to_numpy(float)))}, "
        f"and the paper reports {paper[0].accuracy:.3f} with {paper[0].labels} labels, without an "
        "interval and on official images."
    )


def _why(sweep: Sweep, importance: pd.DataFrame) -> str:
    if importance.empty:
        scored = len(sweep.scored)
        few = f"{scored} trials with a score are too few, {FEWEST} are needed"
        return f"Why cannot be said: {few if scored < FEWEST else 'all scores are the same'}."
    first = importance.iloc[0]
    rivals = importance[importance["high"] > first["low"]]["setting"].tolist()[1:]
    names = ", ".join(map(short, rivals))
    sure = f"though by so few trials {names} may do as much" if rivals else "more than any other"
    return (
        f"What made the difference was {short(first['setting'])}: it explains "
        f"{first['importance']:.0%} of the variance of scores ({first['low']:.0%} to "
        f"{first['high']:.0%}), {sure}."
    )


def _value(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) and value % 1 else f"{value:g}"
