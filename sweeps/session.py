"""One session of a sweep or study: what it works with, how it shows and ends its trials."""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from optuna import logging as optuna_logging
from rich.console import Console

from analysis.outbox import OUTBOX_FILE
from sweeps.budget import Budget, Interruption
from sweeps.cluster import Allotment
from sweeps.console import WORDS, View
from sweeps.delivery import Delivery
from sweeps.descriptions import sweep_run
from sweeps.events import Listener
from sweeps.experiments import open_experiment
from sweeps.launch import StageRun, Sweep, run_trials, search_study
from sweeps.ledger import CHECKPOINTS_KEPT, Ledger
from sweeps.locks import claimed
from sweeps.outbox import Outbox
from sweeps.record import Stage
from sweeps.records import Records
from sweeps.run_queue import QueuedTrials
from sweeps.settings import SweepSettings
from sweeps.space import Space, build_space
from sweeps.storage import storage_errors_explained
from sweeps.stored import find, keep
from sweeps.study import open_storage, open_study
from sweeps.tracking import Status, Tracking
from sweeps.trainable import Trainable, train_and_score
from sweeps.writer import Writer
from weakdis_core.config import Config
from weakdis_core.console import progress
from weakdis_core.data.store import Prepared, prepare
from weakdis_core.metrics.oracle import Oracle
from weakdis_core.metrics.oracle_cache import prepare_oracle

# A study's run is trained once, and its row replaces its checkpoint.
_CHECKPOINTS = {"search": CHECKPOINTS_KEPT, "study": 1}


@dataclass
class Session(StageRun):
    """What one session of a sweep works with, beside the trials of a stage.

    Attributes:
        tracking: Of these trials.
        writer: Delivers what is tracked to MLflow.
        console: Where to print.
        found: Whether it has a result, which decides the state of its run in MLflow.
    """

    tracking: Tracking
    writer: Writer
    console: Console
    found: bool = False


@contextmanager
def held_sweep(
    settings: SweepSettings, variant: str, name: str, allotment: Allotment
) -> Iterator[tuple[Sweep, Prepared, Oracle]]:
    """Prepare a sweep's data, and keep other programs from running it.

    Args:
        settings: What the user asked for.
        variant: The variant.
        name: Name of the sweep.
        allotment: What a trial gets.

    Raises:
        UserError: A setting, the data, the storage or the database is at fault, or another program
            runs the sweep.
    """
    folder = settings.folder / name
    space: Space = {}
    if settings.study is None:
        config = settings.base_config(variant)
        space = build_space(config, settings.fixed, settings.search_learning_rate)
    base, prepared, oracle = _prepare_sweep(settings, variant, name)
    if not allotment.gpus:
        # Ray hides no GPU from a trial that asks for none.
        base = base.with_values({"runtime.device": "cpu"})
    begun = settings.resume is not None or settings.study is not None
    moved = begun and not (folder / OUTBOX_FILE).exists()
    folder.mkdir(parents=True, exist_ok=True)
    optuna_logging.set_verbosity(optuna_logging.WARNING)
    with storage_errors_explained(folder), claimed(folder, settings.study_storage) as claim:
        sweep = Sweep(name, folder, settings, base, space, prepared.path, allotment, moved, claim)
        yield sweep, prepared, oracle


def _prepare_sweep(
    settings: SweepSettings, variant: str, name: str
) -> tuple[Config, Prepared, Oracle]:
    """The settings that all trials share, the images and the oracle; makes what is missing."""
    base, resumed = settings.base_config(variant), settings.resume is not None
    if resumed:
        # The official files may lie elsewhere now; all else is as it began.
        base = find(settings, name).base.with_values(settings.places())
    with ThreadPoolExecutor(1) as other:
        # A new database takes seconds to make: meanwhile the data are prepared.
        known = resumed or settings.study is not None
        opening = other.submit(
            open_experiment, settings.tracking, variant, name, known, settings.folder
        )
        made = _prepare(base)
        opening.result()
    return made


def _prepare(base: Config) -> tuple[Config, Prepared, Oracle]:
    """Images and oracle of a variant, with the source resolved.

    The source becomes part of the settings: `auto` would say nothing in a table, and might mean
    something else tomorrow.
    """
    variant = base.data.variant
    with progress(f"images of {variant}") as advance:
        prepared = prepare(base.data, base.runtime.data_dir, advance)
    base = base.with_values({"data.source": prepared.source})
    with progress(f"oracle of {variant}") as advance:
        device = "cuda" if torch.cuda.is_available() else "cpu"
        oracle = prepare_oracle(prepared, base.data, device, advance)
    return base, prepared, oracle


@contextmanager
def session_of(sweep: Sweep, interruption: Interruption, console: Console) -> Iterator[Session]:
    """Open the study and the records of a sweep, and its run in MLflow, which is ended after.

    Args:
        sweep: The sweep; it is held.
        interruption: The signals received.
        console: Where to print.
    """
    session = _open(sweep, interruption, console)
    try:
        yield session
    finally:
        # Whatever happened, no run is left RUNNING.
        status: Status = "FINISHED" if session.found else "FAILED"
        try:
            session.tracking.close("KILLED" if interruption.signal is not None else status)
        finally:
            session.writer.close()


def _open(sweep: Sweep, interruption: Interruption, console: Console) -> Session:
    settings, base = sweep.settings, sweep.base
    stage: Stage = "search" if settings.study is None else "study"
    if stage == "search":
        study = search_study(sweep)
    else:
        storage = open_storage(sweep.folder, settings.study_storage)
        study = open_study(storage, sweep.name, settings.objective)
    keep(study, settings, base)
    records = Records(study, stage)
    # The runs of a study are few and given: nothing but their end limits them.
    seconds = settings.time_budget if stage == "search" else math.inf
    budget = Budget(seconds, interruption, records.seconds)
    steps, checkpoints = base.training.steps, _CHECKPOINTS[stage]
    ledger = Ledger(settings.objective, steps, budget, records.load(), checkpoints)
    if sweep.moved:
        ledger.mend()
    delivery = Delivery(settings.tracking, base.data.variant, sweep.name)
    writer = Writer(Outbox(sweep.folder), delivery)
    tracking = Tracking(writer, sweep_run(sweep), ledger, stage)
    tracking.open()
    tracking.end_all()
    return Session(sweep, stage, study, ledger, budget, tracking, writer, console)


def train_runs(
    session: Session,
    source: QueuedTrials,
    *listeners: Listener,
    trainable: Trainable = train_and_score,
) -> None:
    """Train given runs to their last step and score them, until the user interrupts.

    Args:
        session: The session, of the stage that the runs belong to.
        source: The runs.
        listeners: Receive what happens between tracking and console.
        trainable: What a run is.
    """
    session.tracking.end_all()
    if source.left:
        with shown(session, len(session.ledger.ended()) + source.left, *listeners) as everybody:
            run_trials(session, source, everybody, trainable)


@contextmanager
def shown(session: Session, trials: int, *listeners: Listener) -> Iterator[list[Listener]]:
    """Show a stage's trials while they run, and end their runs in MLflow, whatever happens.

    The first signal is left to the budget, which stops the trials.

    Args:
        session: The session, of the stage.
        trials: Most trials to run.
        listeners: Receive what happens between tracking and console.

    Yields:
        All who are to receive what happens.
    """
    tracking, word = session.tracking, WORDS[session.stage]
    view = View(
        session.console, session.sweep.name, session.ledger, session.budget, trials, word
    )  # fmt: skip

    def rescue() -> None:
        view.close()
        print_interrupted(session)
        tracking.abandon()

    try:
        with session.budget.interruption.deferred(rescue):
            yield [tracking, *listeners, view]
    finally:
        view.close()
        tracking.cut_short()


def print_interrupted(session: Session) -> None:
    """Print that the user interrupted a sweep, where its trials are, and how to go on with it."""
    sweep = session.sweep
    session.console.print(
        f"{sweep.name}: interrupted; {WORDS[session.stage]}s are in {sweep.folder}; "
        f"go on with {sweep.resume_command}"
    )
