"""How trials were trained, drawn: histories in, figures out."""

from __future__ import annotations

from typing import Any

import pandas as pd

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
from analysis.search_figures import score_words
from analysis.sweep import Sweep

ACCURACIES = {
    "val/relation_accuracy_latent": ("latent", GREEN, ":"),
    "val/relation_accuracy_encoded": ("encoded", ORANGE, "--"),
    "val/relation_accuracy_pixels": ("pixels", BLUE, "-"),
    "val/factor_accuracy": ("factors", PINK, "-."),
}
"""Name, colour and dashes of each accuracy."""

RECONSTRUCTION = "train/reconstruction"


def rungs(sweep: Sweep, history: pd.DataFrame) -> Drawing | None:
    """The score of every trial over its training, and where early stopping ended it.

    Args:
        sweep: The sweep.
        history: Reports of the sweep's metric, of all its trials (`analysis.sweep.read_history`).
    """
    reports = history[history["metric"].eq(sweep.metric)]
    if reports.empty:
        return None
    best, trials = sweep.best, sweep.scored
    stopped = sweep.scored[sweep.scored["outcome"].eq("pruned")]["run_id"]
    with styled():
        figure, axes = axes_of()
        for run, points in reports.groupby("run_id"):
            early, first = bool(stopped.eq(run).any()), best is not None and run == best["run_id"]
            color, width = (GREY, 0.9) if early else (BLUE, 2.2 if first else 0.9)
            (drawn,) = axes.plot(
                points["step"], points["value"], color=color, lw=width,
                ls=":" if early else "-", label="best" if first else None,
            )  # fmt: skip
            mark_trial(drawn, trials[trials["run_id"].eq(run)].iloc[0], sweep.metric)
            if early:
                axes.plot(points["step"].iloc[-1], points["value"].iloc[-1], "x", color=GREY, ms=5)
        ends = reports[reports["run_id"].isin(stopped)].groupby("run_id")["step"].max()
        for step, count in ends.value_counts().items():
            axes.axvline(step, color=GREY, lw=0.8, ls="--", alpha=0.7)
            axes.text(step, 1.03, f"{count} stopped", ha="center", fontsize=7, clip_on=False)
        axes.set_xlabel("training step")
        axes.set_ylabel(score_words(sweep.metric))
        axes.set_ylim(0, 1.02)
        axes.set_xlim(0, sweep.steps * 1.02)
        legend_above(figure, axes)
    return Drawing(
        "rungs",
        "Early stopping",
        f"Every trial's score over its training. ASHA compares trials at its rungs and stopped "
        f"{len(stopped)} of {len(sweep.trials)} there (dotted, ending in a cross).",
        figure,
    )


def learning_curves(sweep: Sweep, history: pd.DataFrame) -> Drawing | None:
    """Reconstruction loss and accuracies of the best trial, its stages marked.

    Args:
        sweep: The sweep.
        history: Reports of `RECONSTRUCTION` and `ACCURACIES` of the best trial at least.
    """
    best = sweep.best
    if best is None:
        return None
    own = history[history["run_id"].eq(best["run_id"])]
    with styled():
        figure, (loss, accuracy) = axes_of(1, 2, height=2.8)
        points = own[own["metric"].eq(RECONSTRUCTION)]
        loss.plot(points["step"], points["value"], color=BLUE, marker="o", ms=3)
        loss.set_ylabel("reconstruction, nats an image")
        for metric, (name, color, dashes) in ACCURACIES.items():
            points = own[own["metric"].eq(metric)]
            accuracy.plot(points["step"], points["value"], dashes, color=color, label=name)
        accuracy.set_ylabel("validation accuracy")
        accuracy.set_ylim(0, 1.02)
        legend_above(figure, accuracy)
        for axes in (loss, accuracy):
            _mark_stages(axes, best, sweep.steps)
            axes.set_xlabel("training step")
            axes.set_xlim(0, sweep.steps)
    return Drawing(
        "curves",
        "Learning curves of the best trial",
        "Shaded are warmup (the prior is one Gaussian, and relations are not trained) and the "
        "ending (encoder and priors are frozen).",
        figure,
    )


def _mark_stages(axes: Any, trial: pd.Series[Any], steps: int) -> None:
    """Shade warmup and ending."""
    warmup, ending = (float(trial[f"training.{name}"]) for name in ("warmup", "ending"))
    for name, start, end in (("warmup", 0.0, warmup), ("ending", 1 - ending, 1.0)):
        if end > start:
            axes.axvspan(start * steps, end * steps, color=GREY, alpha=0.2, lw=0)
            axes.text(start * steps, 1.01, f" {name}", transform=axes.get_xaxis_transform(),
                      fontsize=7, ha="left", va="bottom")  # fmt: skip
