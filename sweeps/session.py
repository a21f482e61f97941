"""One session of a sweep or study: what it holds while it runs, and how that is given back."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from optuna import logging as optuna_logging
from optuna.study import Study
from rich.console import Console

from analysis.outbox import OUTBOX_FILE
from sweeps.budget import Budget, Interruption
from sweeps.cluster import Allotment
from sweeps.delivery import Delivery
from sweeps.launch import Sweep, search_study
from sweeps.ledger import CHECKPOINTS_KEPT, Ledger
from sweeps.locks import claimed
from sweeps.outbox import Outbox
from sweeps.preparation import prepare_sweep
from sweeps.record import TRIAL_WORDS, Stage
from sweeps.records import Records
from sweeps.settings import SweepSettings
from sweeps.space import Space, build_space
from sweeps.storage import storage_errors_explained
from sweeps.stored import keep
from sweeps.study import open_storage, open_study
from sweeps.told import sweep_run
from sweeps.tracking import Status, Tracking
from sweeps.writer import Writer
from weakdis_core.data.store import Prepared
from weakdis_core.metrics.oracle import Oracle

# A study's run is trained once, and its row replaces its checkpoint.
_CHECKPOINTS = {"search": CHECKPOINTS_KEPT, "study": 1}


@dataclass
class Session:
    """What one session of a sweep works with.

    Attributes:
        sweep: The sweep.
        study: Its Optuna study.
        ledger: Account of its trials.
        budget: When it stops.
        tracking: Of its trials.
        writer: Delivers what is tracked to MLflow.
        console: Where to print.
        found: Whether it has a result, which decides the state of its run in MLflow.
    """

    sweep: Sweep
    study: Study
    ledger: Ledger
    budget: Budget
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
    base, prepared, oracle = prepare_sweep(settings, variant, name)
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
    records = Records(study, TRIAL_WORDS[stage])
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
    return Session(sweep, study, ledger, budget, tracking, writer, console)
