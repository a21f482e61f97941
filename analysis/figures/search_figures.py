"""Figures of a search and of the training of its trials: frames in, figures out."""

from __future__ import annotations

from typing import Any

import pandas as pd
from optuna.distributions import CategoricalDistribution

from analysis.data.tracked_sweep import TrackedSweep
from analysis.figures.drawing import (
    ACCURACIES,
    BLUE,
    GREY,
    OUTCOMES,
    Drawing,
    add_legend,
    make_axes,
    mark_trial,
)
from analysis.tables.rendering import format_duration

RECONSTRUCTION = "train/reconstruction"
CURVES = (RECONSTRUCTION, *ACCURACIES)
"""Metrics that `draw_learning_curves` draws."""


def label_score(axes: Any, metric: str) -> None:
    """Set the label and limits of a vertical axis for a sweep's metric."""
    kind = metric.removeprefix("val/relation_accuracy_").removesuffix("s")
    axes.set_ylabel(f"validation {kind} accuracy")
    axes.set_ylim(0, 1.02)


def draw_progress(sweep: TrackedSweep) -> Drawing:
    """Draw the final score of every trial, and the best so far, over time."""
    trials = sweep.scored.assign(at=_end_minutes(sweep)).sort_values("at")
    figure, axes = make_axes()
    draw_points(axes, trials, trials["at"], sweep.metric)
    complete = trials[trials["outcome"].eq("complete")]
    best = complete[sweep.metric].cummax()
    if len(complete):
        axes.step(complete["at"], best, where="post", color=BLUE, lw=1.2, label="best so far")
    axes.set_xlabel("minutes since the sweep began")
    label_score(axes, sweep.metric)
    axes.set_xlim(left=0)
    add_legend(figure, axes)
    return Drawing(
        "progress",
        "Score over time",
        "Each mark is a trial at the time when it ended or last reported. "
        f"{len(trials)} trials trained for {format_duration(trials['seconds'].sum())} in all. The "
        "line is the best complete trial so far.",
        figure,
    )


def draw_front(sweep: TrackedSweep) -> Drawing | None:
    """Draw the score against the number of labels; None if labels were not searched."""
    labels = sweep.space.get("data.labels")
    if not isinstance(labels, CategoricalDistribution):
        return None
    best = sweep.complete.groupby("data.labels")[sweep.metric].max()
    # The front: scores that no trial with fewer labels reaches.
    best = best[best > best.cummax().shift(fill_value=-1.0)]
    figure, axes = make_axes(height=2.7)
    draw_points(axes, sweep.scored, sweep.scored["data.labels"], sweep.metric)
    if len(best):
        axes.plot(best.index, best.to_numpy(), "-o", color=BLUE, lw=1.2, ms=10, mfc="none",
                  label="front")  # fmt: skip
    axes.set_xscale("log")
    axes.set_xticks(labels.choices, [str(choice) for choice in labels.choices])
    axes.minorticks_off()
    axes.set_xlabel("labels")
    label_score(axes, sweep.metric)
    add_legend(figure, axes)
    return Drawing(
        "labels",
        "Score against labels",
        "The front joins the complete trials that no trial with as few labels beats. The paper "
        "claims one number of labels, 1000, for all variants.",
        figure,
    )


def draw_rungs(sweep: TrackedSweep, history: pd.DataFrame) -> Drawing | None:
    """Draw the score of every trial over its training, and where early stopping ended it.

    `history` holds all reports. Returns None if none has the sweep's metric.
    """
    reports = history[history["metric"].eq(sweep.metric)]
    if reports.empty:
        return None
    best, trials = sweep.best, sweep.scored
    stopped = trials[trials["outcome"].eq("pruned")]["run_id"]
    figure, axes = make_axes()
    for run, own in reports.groupby("run_id"):
        early, first = bool(stopped.eq(run).any()), best is not None and run == best["run_id"]
        color, width = (GREY, 0.9) if early else (BLUE, 2.2 if first else 0.9)
        (drawn,) = axes.plot(
            own["step"], own["value"], color=color, lw=width,
            ls=":" if early else "-", label="best" if first else None,
        )  # fmt: skip
        mark_trial(drawn, trials[trials["run_id"].eq(run)].iloc[0], sweep.metric)
        if early:
            axes.plot(own["step"].iloc[-1], own["value"].iloc[-1], "x", color=GREY, ms=5)
    ends = reports[reports["run_id"].isin(stopped)].groupby("run_id")["step"].max()
    for step, count in ends.value_counts().items():
        axes.axvline(step, color=GREY, lw=0.8, ls="--", alpha=0.7)
        axes.text(step, 1.03, f"{count} stopped", ha="center", fontsize=7, clip_on=False)
    axes.set_xlabel("training step")
    label_score(axes, sweep.metric)
    axes.set_xlim(0, sweep.steps * 1.02)
    add_legend(figure, axes)
    return Drawing(
        "rungs",
        "Early stopping",
        f"Every trial's score over its training. ASHA compares trials at its rungs and stopped "
        f"{len(stopped)} of {len(sweep.trials)} there (dotted lines that end in a cross).",
        figure,
    )


def draw_learning_curves(trial: pd.Series[Any], history: pd.DataFrame, steps: int) -> Drawing:
    """Draw the reconstruction loss and the accuracies of the best trial, with its stages.

    Args:
        trial: Its row of `analysis.data.runs.read_runs`.
        history: Its reports of `CURVES`.
        steps: Training steps of a full trial.
    """
    figure, (loss, accuracy) = make_axes(2, height=2.8)
    reports = history[history["metric"].eq(RECONSTRUCTION)]
    loss.plot(reports["step"], reports["value"], color=BLUE, marker="o", ms=3)
    loss.set_ylabel("reconstruction, nats an image")
    for metric, (name, color, dashes) in ACCURACIES.items():
        reports = history[history["metric"].eq(metric)]
        accuracy.plot(reports["step"], reports["value"], dashes, color=color, label=name)
    accuracy.set_ylabel("validation accuracy")
    accuracy.set_ylim(0, 1.02)
    add_legend(figure, accuracy)
    for axes in (loss, accuracy):
        _mark_stages(axes, trial, steps)
        axes.set_xlabel("training step")
        axes.set_xlim(0, steps)
    return Drawing(
        "curves",
        "Learning curves of the best trial",
        "The first shaded stage is the warmup: the prior is one Gaussian, and relations are not "
        "trained. In the second, the ending, encoder and priors are frozen.",
        figure,
    )


def draw_points(axes: Any, trials: pd.DataFrame, places: pd.Series[Any], metric: str) -> None:
    """Draw a mark for each trial at its horizontal place and its score."""
    for outcome, (color, marker, label) in OUTCOMES.items():
        own = trials["outcome"].eq(outcome)
        for place, (_, trial) in zip(places[own], trials[own].iterrows(), strict=True):
            (drawn,) = axes.plot(
                [place], [trial[metric]], marker, color=color, ms=5, mew=1.2, zorder=3, label=label
            )
            mark_trial(drawn, trial, metric)
            # One entry in the legend for each outcome.
            label = ""


def _end_minutes(sweep: TrackedSweep) -> pd.Series[Any]:
    """Return the minutes from the sweep's start to the end, or last report, of each trial."""
    start = pd.Timestamp(sweep.run.info.start_time, unit="ms", tz="UTC")
    trials = sweep.scored
    running = trials["started"] + pd.to_timedelta(trials["seconds"].fillna(0.0), unit="s")
    return (trials["finished"].fillna(running) - start).dt.total_seconds() / 60


def _mark_stages(axes: Any, trial: pd.Series[Any], steps: int) -> None:
    warmup, ending = (float(trial[f"training.{name}"]) for name in ("warmup", "ending"))
    for name, start, end in (("warmup", 0.0, warmup), ("ending", 1 - ending, 1.0)):
        if end > start:
            axes.axvspan(start * steps, end * steps, color=GREY, alpha=0.2, lw=0)
            axes.text(start * steps, 1.01, f" {name}", transform=axes.get_xaxis_transform(),
                      fontsize=7, ha="left", va="bottom")  # fmt: skip
