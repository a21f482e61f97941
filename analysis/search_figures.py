"""How a search went, drawn: frames in, figures out."""

from __future__ import annotations

from typing import Any

import pandas as pd
from optuna.distributions import CategoricalDistribution

from analysis.drawing import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PINK,
    Drawing,
    axes_of,
    legend_above,
    mark_trial,
    styled,
)
from analysis.sweep import Sweep
from analysis.text import duration

ENDS = {
    "complete": (BLUE, "o", "complete"),
    "pruned": (GREY, "x", "stopped early"),
    "running": (GREEN, "^", "running"),
    "out_of_time": (ORANGE, "s", "out of time"),
    "interrupted": (ORANGE, "D", "interrupted"),
    "failed": (PINK, "v", "failed"),
}
"""Colour, marker and words for how a trial with a score ended."""

_WORDS = {
    "val/relation_accuracy_pixels": "validation pixel accuracy",
    "val/relation_accuracy_latent": "validation latent accuracy",
    "val/relation_accuracy_encoded": "validation encoded accuracy",
}


def score_words(metric: str) -> str:
    """What a sweep's metric is called on an axis."""
    return _WORDS[metric]


def short(name: str) -> str:
    """`latent size` of `model.latent_size`."""
    return name.rpartition(".")[2].replace("_", " ")


def progress(sweep: Sweep) -> Drawing:
    """The score of every trial as it ended, the best so far, and the time spent."""
    trials = sweep.scored.assign(at=_minutes(sweep)).sort_values("at")
    with styled():
        figure, axes = axes_of()
        points(axes, trials, trials["at"], sweep.metric)
        whole = trials[trials["outcome"].eq("complete")]
        best = whole[sweep.metric].cummax()
        if len(whole):
            axes.step(whole["at"], best, where="post", color=BLUE, lw=1.2, label="best so far")
        axes.set_xlabel("minutes since the sweep began")
        axes.set_ylabel(score_words(sweep.metric))
        axes.set_ylim(0, 1.02)
        axes.set_xlim(left=0)
        legend_above(figure, axes)
    spent = duration(trials["seconds"].sum())
    return Drawing(
        "progress",
        "Score over time",
        f"Each mark is a trial at the time it ended or last reported: {len(trials)}, trained for "
        f"{spent} in all. The line is the best complete one so far.",
        figure,
    )


def front(sweep: Sweep) -> Drawing | None:
    """The score against the number of labels, with the front; None where labels are fixed."""
    labels = sweep.space.get("data.labels")
    if not isinstance(labels, CategoricalDistribution):
        return None
    best = sweep.complete.groupby("data.labels")[sweep.metric].max()
    # None on the front is beaten with fewer labels.
    best = best[best > best.cummax().shift(fill_value=-1.0)]
    with styled():
        figure, axes = axes_of(height=2.7)
        points(axes, sweep.scored, sweep.scored["data.labels"], sweep.metric)
        if len(best):
            axes.plot(best.index, best.to_numpy(), "-o", color=BLUE, lw=1.2, ms=10, mfc="none",
                      label="front")  # fmt: skip
        axes.set_xscale("log")
        axes.set_xticks(labels.choices, [str(choice) for choice in labels.choices])
        axes.minorticks_off()
        axes.set_xlabel("labels")
        axes.set_ylabel(score_words(sweep.metric))
        axes.set_ylim(0, 1.02)
        legend_above(figure, axes)
    return Drawing(
        "labels",
        "Score against labels",
        "What a number of labels buys: the front joins the complete trials that no other one "
        "beats with as few. The paper's claim is a constant number, 1000, for all variants.",
        figure,
    )


def points(axes: Any, trials: pd.DataFrame, places: pd.Series[Any], metric: str) -> None:
    """Mark each trial, by how it ended; a browser shows its number and score."""
    for outcome, (color, marker, label) in ENDS.items():
        own = trials["outcome"].eq(outcome)
        for place, (_, trial) in zip(places[own], trials[own].iterrows(), strict=True):
            (drawn,) = axes.plot(
                [place], [trial[metric]], marker, color=color, ms=5, mew=1.2, zorder=3, label=label
            )
            mark_trial(drawn, trial, metric)
            label = ""


def _minutes(sweep: Sweep) -> pd.Series[Any]:
    """When each trial with a score ended, or what is known of it last."""
    start = pd.Timestamp(sweep.run.info.start_time, unit="ms", tz="UTC")
    trials = sweep.scored
    running = trials["started"] + pd.to_timedelta(trials["seconds"].fillna(0.0), unit="s")
    return (trials["finished"].fillna(running) - start).dt.total_seconds() / 60
