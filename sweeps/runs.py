"""Given runs, confirm runs and those of a declared study alike: train what waits, and show it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from optuna.study import Study
from rich.console import Console

from sweeps.budget import Budget
from sweeps.console import View, say_interrupted
from sweeps.events import Listener
from sweeps.launch import Sweep, run_queued
from sweeps.ledger import Ledger
from sweeps.record import Stage
from sweeps.run_queue import QueuedTrials
from sweeps.tracking import Tracking
from sweeps.trainable import Trainable, train_and_score


def train_runs(
    sweep: Sweep,
    stage: Stage,
    study: Study,
    source: QueuedTrials,
    ledger: Ledger,
    budget: Budget,
    tracking: Tracking,
    console: Console,
    listeners: Sequence[Listener] = (),
    trainable: Trainable = train_and_score,
) -> None:
    """Train the runs that wait in a study, until they have ended or the user interrupts.

    Args:
        sweep: The sweep that they belong to.
        stage: Confirm or study.
        study: The study.
        source: Those of its runs to train.
        ledger: Account of the runs.
        budget: When to stop.
        tracking: Of these runs.
        console: Where to show them.
        listeners: Receive what happens, after ledger and tracking.
        trainable: What a run is.
    """
    word: Literal["confirm run", "run"] = "confirm run" if stage == "confirm" else "run"
    tracking.end_all()
    view = View(console, sweep.name, ledger, budget, len(ledger.ended()) + source.left, word)

    def rescue() -> None:
        view.close()
        say_interrupted(console, sweep.name, sweep.folder, f"{word}s", sweep.resume_command)
        tracking.abandon()

    try:
        with budget.interruption.deferred(rescue):
            shown = [tracking, *listeners, view]
            run_queued(sweep, stage, study, source, ledger, budget, shown, trainable)
    finally:
        view.close()
        tracking.cut_short()
