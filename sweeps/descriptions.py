"""Runs in words, for people who read them in MLflow's UI, which shows Markdown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from sweeps.console import clock
from sweeps.launch import Stage, Sweep
from sweeps.ledger import Ledger
from sweeps.provenance import SweepRun
from sweeps.record import Record
from sweeps.results import KINDS

_RUN = "python sweeps/run.py"
_WHAT = {
    "pixels": "relation accuracy of decoded pictures",
    "latent": "relation accuracy of latent codes",
    "encoded": "relation accuracy of codes of images",
    "pareto": "relation accuracy of decoded pictures, against the number of labels",
}


def describe_sweep(sweep: Sweep) -> str:
    """What is searched and how, and how to go on with it."""
    settings, base = sweep.settings, sweep.base
    asked = f"up to {settings.trials} trials in {clock(settings.time_budget)}"
    searched = ", ".join(f"`{name}`" for name in sweep.space)
    resume = f"{_RUN} --resume {sweep.name}"
    return (
        f"Sweep `{sweep.name}` of {base.data.variant} ({base.data.source} images): {asked}, "
        f"suggested by Optuna's {settings.sampler} sampler for the best validation "
        f"{_WHAT[settings.objective]}. Searched: {searched}; the rest is the preset "
        f"`{settings.preset}`. Its trials are the runs with the tag `sweep` = `{sweep.name}`.\n\n"
        f"Go on: `{resume}`, to a confirmation: `{resume} --confirm-seeds 5`."
    )


def best_so_far(ledger: Ledger) -> str:
    """The best complete trial, and how all ended that have."""
    ended = ledger.ended()
    if not ended:
        return ""
    ends = Counter(record.outcome for record in ended)
    told = ", ".join(f"{number} {end.replace('_', ' ')}" for end, number in ends.items())
    best = ledger.best()
    if best is None:
        return f"No complete trial so far; ended: {told}."
    return (
        f"**Best so far: trial {best.number}** (`{best.trial_id}`), {best.score:.3f} on "
        f"validation; ended: {told}."
    )


def describe_trial(
    sweep: SweepRun, record: Record, stage: Stage, test: Mapping[str, float] | None = None
) -> str:
    """What a trial is, how it ended and its scores.

    Args:
        sweep: The sweep.
        record: The trial.
        stage: Search or confirm.
        test: Scores on test, `test/...`, where it was evaluated.
    """
    settings: dict[str, Any] = {**sweep.params, **record.values}
    kind = "search trial" if stage == "search" else "confirm run"
    shown = {
        "data.labels": "{} labelled images",
        "model.latent_size": "latent size {} for each factor",
        "loss.lambda": "lambda {:.3g}",
        "training.warmup": "a warmup of {:.0%} of the steps",
        "seed": "seed {}",
    }
    told = [form.format(settings[name]) for name, form in shown.items() if name in settings]
    what = f"{kind.capitalize()} {record.number} of the sweep `{sweep.name}` on {sweep.variant}"
    first = f"{what}: {', '.join(told)}." if told else f"{what}."
    return "\n\n".join([first, *_end(record), *_scores("validation", "val", record.metrics),
                        *_scores("test", "test", test or {})])  # fmt: skip


def _end(record: Record) -> list[str]:
    if record.outcome == "running":
        return ["It is running."]
    ends = {"pruned": "stopped early, as others did better", "out_of_time": "out of time"}
    end = ends.get(record.outcome, record.outcome)
    reason = f" ({record.error[:300]})" if record.error else ""
    return [f"Ended: {end}{reason}, after {record.step} steps in {clock(record.seconds)}."]


def _scores(where: str, group: str, metrics: Mapping[str, float]) -> list[str]:
    """The relation accuracies among metrics, as a line of its own; none where there are none."""
    found = [(kind, metrics.get(f"{group}/relation_accuracy_{kind}")) for kind in KINDS]
    told = ", ".join(f"{kind} {score:.3f}" for kind, score in found if score is not None)
    return [f"Relation accuracy on {where}: {told}."] if told else []
