"""What a sweep found, in three sentences: who won, by how much and how surely, and why."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from analysis.published import Published
from analysis.search_figures import short
from analysis.statistics import Interval, paired_interval, t_interval, wilson_interval
from analysis.sweep import Sweep

PIXELS = "test/relation_accuracy_pixels"

CONFIRMED = ("config_hash", "labels", "seeds", "pixels", "low", "high", "behind", "behind_low",
             "behind_high")  # fmt: skip
"""Columns of `confirmations`."""


def verdict(sweep: Sweep, importance: pd.DataFrame, quoted: Published) -> list[str]:
    """Three sentences on a sweep; fewer where it has not come so far.

    Args:
        sweep: The sweep.
        importance: The frame of `analysis.importance.importances`.
        quoted: The paper's numbers.
    """
    best = sweep.best
    if best is None:
        return ["No trial has a score yet."]
    settings = ", ".join(f"{short(name)} {_value(best[name])}" for name in sweep.space)
    won = f"Trial {best['trial_id']} won"
    if sweep.run.info.status == "RUNNING":
        won = f"So far trial {best['trial_id']} leads"
    first = f"{won} of {len(sweep.trials)}{': ' + settings if settings else ''}."
    return [first, _how_much(sweep, best, quoted), _why(sweep, importance)]


def confirmations(sweep: Sweep) -> pd.DataFrame:
    """The confirmed configurations, each against the best of them on the same seeds.

    Returns:
        Columns `CONFIRMED`, the configuration that is best on validation first: mean pixel
        accuracy on test with its 95% t-interval over seeds, and the paired difference to the
        first (`behind`), NaN for the first itself.
    """
    own = sweep.confirmed[sweep.confirmed["status"].eq("FINISHED")]
    if own.empty or PIXELS not in own:
        return pd.DataFrame(columns=list(CONFIRMED))
    own = own.sort_values("seed")
    choice = own.groupby("config_hash")[sweep.metric].mean().sort_values(ascending=False)
    scores = own.pivot_table(index="seed", columns="config_hash", values=PIXELS)
    lines = []
    for name in choice.index:
        mean = t_interval(scores[name].to_numpy())
        behind = Interval(math.nan, math.nan, math.nan, 0)
        if name != choice.index[0]:
            behind = paired_interval(scores[choice.index[0]].to_numpy(), scores[name].to_numpy())
        labels = own.loc[own["config_hash"].eq(name), "data.labels"].iloc[0]
        lines.append((name, int(labels), mean.n, mean.value, mean.low, mean.high,
                      behind.value, behind.low, behind.high))  # fmt: skip
    return pd.DataFrame(lines, columns=list(CONFIRMED))


def _how_much(sweep: Sweep, best: pd.Series[Any], quoted: Published) -> str:
    paper = [row for row in quoted.table1 if row.variant == sweep.variant]
    beside = (
        f"; the paper reports {paper[0].this_work.accuracy:.3f} latent with "
        f"{paper[0].this_work.labels} labels, without an interval and on official images"
        if paper
        else ""
    )
    confirmed = confirmations(sweep)
    if len(confirmed):
        row = confirmed.iloc[0]
        width = "" if pd.isna(row["low"]) else f" ± {(row['high'] - row['low']) / 2:.3f}"
        return (
            f"Trained again on {row['seeds']} fresh seeds and judged once on test images it moves "
            f"what it should, and only that, in {row['pixels']:.3f}{width} of pictures "
            f"(95% t-interval over seeds){beside}."
        )
    images = int(best["training.evaluation_samples"])
    score = float(best[sweep.metric])
    ends = wilson_interval(round(score * images), images)
    ahead = _ahead(sweep, score)
    return (
        f"It reaches {score:.3f} on validation ({ends.low:.3f} to {ends.high:.3f} for {images} "
        f"images, one seed{ahead}): the best of many tries, so an optimistic number until it is "
        f"confirmed on fresh seeds (--confirm-seeds 5){beside}."
    )


def _ahead(sweep: Sweep, score: float) -> str:
    others = sweep.complete[sweep.metric].nlargest(2)
    return f", {score - float(others.iloc[1]):.3f} ahead of the next" if len(others) > 1 else ""


def _why(sweep: Sweep, importance: pd.DataFrame) -> str:
    if importance.empty:
        return f"Why cannot be said yet: {len(sweep.scored)} trials with a score are too few."
    first = importance.iloc[0]
    rivals = importance[importance["high"] > first["low"]]["setting"].tolist()
    sure = (
        "clearly the most important setting"
        if len(rivals) == 1
        else f"but {', '.join(map(short, rivals[1:]))} cannot be told from it with so few trials"
    )
    return (
        f"What made the difference was {short(first['setting'])}, which explains "
        f"{first['importance']:.0%} of the scores' variance ({first['low']:.0%} to "
        f"{first['high']:.0%}), {sure}."
    )


def _value(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) and value % 1 else f"{value:g}"
