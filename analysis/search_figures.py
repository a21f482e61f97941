"""How a search went, drawn: frames in, figures out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.ticker import PercentFormatter
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

from analysis.drawing import BLUE, GREEN, GREY, ORANGE, Drawing, axes_of, styled
from analysis.importance import FEWEST
from analysis.sweep import Sweep

ENDS = {
    "complete": (BLUE, "o", "complete"),
    "pruned": (GREY, "x", "stopped early"),
    "running": (GREEN, "^", "running"),
    "out_of_time": (ORANGE, "s", "out of time"),
    "interrupted": (ORANGE, "D", "interrupted"),
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
        _points(axes, trials, trials["at"], sweep.metric)
        whole = trials[trials["outcome"].eq("complete")]
        best = whole[sweep.metric].cummax()
        axes.step(whole["at"], best, where="post", color=BLUE, lw=1.2, label="best so far")
        axes.set_xlabel("minutes since the sweep began")
        axes.set_ylabel(score_words(sweep.metric))
        axes.set_ylim(0, 1.02)
        axes.legend(loc="lower right", fontsize=7.5)
    spent = trials["seconds"].sum() / 3600
    return Drawing(
        "progress",
        "Score over time",
        f"Each mark is a trial at the time of its last report, {len(trials)} in all after "
        f"{spent:.2f} hours of training; the line is the best complete one so far.",
        figure,
    )


def importance(sweep: Sweep, table: pd.DataFrame) -> Drawing | None:
    """The importance of each searched setting with its interval; None where there is none.

    Args:
        sweep: The sweep.
        table: The frame of `analysis.importance.importances`.
    """
    if table.empty:
        return None
    rows = table.iloc[::-1]
    with styled():
        figure, axes = axes_of(height=0.9 + 0.35 * len(rows))
        widths = [rows["importance"] - rows["low"], rows["high"] - rows["importance"]]
        axes.barh([short(name) for name in rows["setting"]], rows["importance"], color=BLUE,
                  height=0.55, alpha=0.85)  # fmt: skip
        axes.errorbar(rows["importance"], range(len(rows)), xerr=np.abs(widths), fmt="none",
                      ecolor=ORANGE, capsize=3, lw=1.4)  # fmt: skip
        axes.set_xlim(0, 1)
        axes.xaxis.set_major_formatter(PercentFormatter(1.0))
        axes.set_xlabel("share of the score's variance that it explains")
        axes.grid(visible=False, axis="y")
    first = rows.iloc[-1]
    return Drawing(
        "importance",
        "Importance of each setting",
        f"Of what made scores differ, {short(first['setting'])} explains "
        f"{first['importance']:.0%} (fANOVA); whiskers hold 95% of repetitions on trials drawn "
        f"with replacement. {int(first['trials'])} trials; below {FEWEST} nothing is drawn.",
        figure,
    )


def slices(sweep: Sweep) -> Drawing | None:
    """The score against each searched setting; None where it is not known what was searched."""
    space = sweep.space
    if not space:
        return None
    with styled():
        figure, axes = axes_of(1, len(space), height=2.6, sharey=True, squeeze=False)
        for each, (name, values) in zip(axes[0], space.items(), strict=True):
            _points(each, sweep.scored, _places(sweep.scored[name], values), sweep.metric)
            _scale(each, values)
            each.set_xlabel(short(name))
        axes[0][0].set_ylabel(score_words(sweep.metric))
        axes[0][0].set_ylim(0, 1.02)
        handles, labels = axes[0][0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper right", ncols=len(labels), fontsize=7.5)
    return Drawing(
        "slices",
        "Score against each setting",
        "Every trial once in each panel. A trial that was stopped early shows the score it had "
        "then, which is lower than what it would have reached.",
        figure,
    )


def front(sweep: Sweep) -> Drawing | None:
    """The score against the number of labels, with the front; None where labels are fixed."""
    if "data.labels" not in sweep.space:
        return None
    best = sweep.complete.groupby("data.labels")[sweep.metric].max()
    # None on the front is beaten with fewer labels.
    best = best[best > best.cummax().shift(fill_value=-1.0)]
    with styled():
        figure, axes = axes_of(height=2.7)
        _points(axes, sweep.scored, sweep.scored["data.labels"], sweep.metric)
        axes.plot(best.index, best.to_numpy(), color=BLUE, lw=1.2, label="front")
        axes.set_xscale("log")
        ticks = sorted(sweep.scored["data.labels"].unique())
        axes.set_xticks(ticks, [f"{int(tick)}" for tick in ticks])
        axes.minorticks_off()
        axes.set_xlabel("labels")
        axes.set_ylabel(score_words(sweep.metric))
        axes.set_ylim(0, 1.02)
        axes.legend(loc="lower right", fontsize=7.5)
    return Drawing(
        "labels",
        "Score against labels",
        "What a number of labels buys: the line joins the complete trials that no other one beats "
        "with as few. The paper's claim is a constant number, 1000, for all variants.",
        figure,
    )


def parallel(sweep: Sweep) -> Drawing | None:
    """Each trial as a line through its settings to its score; None where they are not known."""
    space = sweep.space
    if len(space) < 2:
        return None
    with styled():
        figure, axes = axes_of(height=3.2)
        trials = sweep.scored.sort_values(sweep.metric)
        heights = np.column_stack(
            [_fractions(trials[name], values) for name, values in space.items()]
            + [trials[sweep.metric].to_numpy(dtype=float)]
        )
        for line, outcome in zip(heights, trials["outcome"], strict=True):
            whole = outcome == "complete"
            axes.plot(line, "-" if whole else ":", color=BLUE if whole else GREY,
                      lw=0.5 + 2.5 * float(line[-1]), alpha=0.8)  # fmt: skip
        names = [*map(short, space), "score"]
        axes.set_xticks(range(len(names)), names)
        axes.set_yticks([])
        axes.set_ylim(-0.04, 1.06)
        axes.grid(visible=False)
        for place, ends in enumerate([*map(_ends, space.values()), ("0", "1")]):
            axes.axvline(place, color=GREY, lw=0.8, alpha=0.6)
            axes.text(place, -0.02, ends[0], ha="center", va="top", fontsize=7)
            axes.text(place, 1.02, ends[1], ha="center", va="bottom", fontsize=7)
        axes.spines[:].set_visible(False)
    return Drawing(
        "parallel",
        "Trials as lines through their settings",
        "Read from the right: follow the lines that end high back to the values they came from. "
        "The thicker the line the better the score; dotted ones did not run to their end.",
        figure,
    )


def _points(axes: Any, trials: pd.DataFrame, places: pd.Series[Any], metric: str) -> None:
    """Mark each trial, by how it ended; a browser shows its number and score."""
    for outcome, (color, marker, label) in ENDS.items():
        own = trials["outcome"].eq(outcome)
        if own.any():
            axes.scatter(places[own], trials.loc[own, metric], c=color, marker=marker, s=24,
                         label=label, linewidths=1.2, zorder=3)  # fmt: skip


def _minutes(sweep: Sweep) -> pd.Series[Any]:
    """When each trial with a score ended, or what is known of it last."""
    start = pd.Timestamp(sweep.run.info.start_time, unit="ms", tz="UTC")
    trials = sweep.scored
    running = trials["started"] + pd.to_timedelta(trials["seconds"].fillna(0.0), unit="s")
    return (trials["finished"].fillna(running) - start).dt.total_seconds() / 60


def _places(column: pd.Series[Any], values: BaseDistribution) -> pd.Series[Any]:
    """Where a value stands on its axis: choices side by side, numbers where they are."""
    if isinstance(values, CategoricalDistribution):
        return column.map(lambda value: values.choices.index(value))
    return column


def _scale(axes: Any, values: BaseDistribution) -> None:
    if isinstance(values, CategoricalDistribution):
        axes.set_xticks(range(len(values.choices)), [str(choice) for choice in values.choices])
        axes.set_xlim(-0.5, len(values.choices) - 0.5)
    elif isinstance(values, FloatDistribution) and values.log:
        axes.set_xscale("log")


def _fractions(column: pd.Series[Any], values: BaseDistribution) -> Any:
    """Values as heights between 0 and 1."""
    if isinstance(values, CategoricalDistribution):
        return _places(column, values) / max(1, len(values.choices) - 1)
    assert isinstance(values, FloatDistribution)
    ends = np.array([values.low, values.high], dtype=float)
    shown = column.to_numpy(dtype=float)
    if values.log:
        ends, shown = np.log(ends), np.log(shown)
    return (shown - ends[0]) / (ends[1] - ends[0])


def _ends(values: BaseDistribution) -> tuple[str, str]:
    if isinstance(values, CategoricalDistribution):
        return str(values.choices[0]), str(values.choices[-1])
    assert isinstance(values, FloatDistribution)
    return f"{values.low:g}", f"{values.high:g}"
