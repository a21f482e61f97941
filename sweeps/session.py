"""One session of a sweep or study, from its images to the end of its trials."""

import math
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from optuna import logging as optuna_logging
from optuna.study import Study
from rich.console import Console
from rich.text import Text

from analysis.data.outbox_files import OUTBOX_FILE
from sweeps.budget import Budget, Interruption
from sweeps.cli.phase import phase
from sweeps.cli.view import View
from sweeps.cluster.addresses import explain_errors, without_password
from sweeps.cluster.allotment import Allotment
from sweeps.cluster.locks import acquire_sweep_lock
from sweeps.cluster.own_pictures import prepare_pictures, upload_pictures
from sweeps.cluster.ray_cluster import LOCAL, address_of, explain_wait
from sweeps.cluster.storage_errors import explain_storage_errors
from sweeps.names import Space
from sweeps.search.run_queue import QueuedTrials
from sweeps.search.space import build_space
from sweeps.search.tuner import open_search_study, run_trials
from sweeps.state.catalog import find_sweep, note_end, store_settings
from sweeps.state.stage import REPORT_FILE, StageRun, Sweep
from sweeps.state.study import open_storage, open_study
from sweeps.state.trial_store import TrialStore
from sweeps.state.trials import CHECKPOINTS_KEPT, Trials
from sweeps.sweep_settings import SweepSettings
from sweeps.text import format_count, label_line
from sweeps.tracking.client import RunClient
from sweeps.tracking.experiments import open_experiment
from sweeps.tracking.notes import NotedDelivery
from sweeps.tracking.outbox import PARENT, Outbox
from sweeps.tracking.run_info import describe_sweep
from sweeps.tracking.run_tracker import RunTracker, Status
from sweeps.tracking.worker import DeliveryWorker
from sweeps.trainable import Trainable, train_and_score
from sweeps.trial import WORDS, Listener, Stage
from weakdis_core.cli.console import progress
from weakdis_core.config.config import Config
from weakdis_core.data.own import check_unchanged
from weakdis_core.evaluation.oracle import TRUSTED
from weakdis_core.evaluation.oracle_cache import prepare_oracle

_DISTRUST = (
    f"The picture classifier reads fewer than {TRUSTED} of the validation pictures right, so "
    "accuracies in pixels are not to be trusted. The objective is encoded accuracy; --objective "
    "chooses another."
)


@dataclass
class Session(StageRun):
    """A stage of a sweep in this session, with its tracking and its console.

    Attributes:
        tracking: Sends the events of the trials to MLflow.
        writer: Delivers what `tracking` sends.
        console: Where to print.
        found: Whether there is a result, which decides the state of the sweep's run in MLflow.
    """

    tracking: RunTracker
    writer: DeliveryWorker
    console: Console
    found: bool = False


@contextmanager
def open_sweep(
    settings: SweepSettings, variant: str, name: str, allotment: Allotment, console: Console
) -> Iterator[Sweep]:
    """Prepare the data of a sweep, and hold its lock.

    Raises:
        UserError: A setting, the data, the storage or a database is at fault, or another program
            runs the sweep.
    """
    folder = settings.folder / name
    space: Space = {}
    base = settings.base_config(variant) if settings.resume is None else _stored(settings, name)
    if settings.study is None:
        space = build_space(base, settings.fixed, settings.search_learning_rate)
    continues = settings.resume is not None or settings.study is not None
    base, prepared, trusted = _prepare(settings, base, name, continues, console)
    if not (trusted or continues or "objective" in settings.model_fields_set):
        settings = settings.model_copy(update={"objective": "encoded"})
        console.print(_DISTRUST, soft_wrap=True)
    if not allotment.gpus:
        # Ray hides no GPU from a trial that asks for none.
        base = base.with_values({"runtime.device": "cpu"})
    moved = continues and not (folder / OUTBOX_FILE).exists()
    folder.mkdir(parents=True, exist_ok=True)
    optuna_logging.set_verbosity(optuna_logging.WARNING)
    with (
        explain_storage_errors(folder),
        acquire_sweep_lock(folder, settings.study_storage) as lock,
    ):
        yield Sweep(name, folder, settings, base, space, prepared, allotment, moved, lock)


def _stored(settings: SweepSettings, name: str) -> Config:
    """Return the settings of a sweep to resume."""
    # Only the folder of the official files may be another one now.
    base = find_sweep(settings, name).base.with_values(settings.places())
    check_unchanged(base.data)
    return base


def _prepare(
    settings: SweepSettings, base: Config, name: str, continues: bool, console: Console
) -> tuple[Config, Path, bool]:
    """Make the images, oracle and experiment that are missing.

    Returns:
        The settings, the folder of the images, and whether the oracle is trusted.
    """
    variant = base.data.variant
    with ThreadPoolExecutor(1) as other:
        # A new database takes seconds to create, in which the data can be prepared.
        opening = other.submit(
            open_experiment, settings.tracking, variant, name, continues, settings.folder
        )
        with phase(console, "images", f"preparing those of {variant}") as images:
            prepared = prepare_pictures(
                base.data, base.runtime.data_dir, settings.checkpoints, images.advance
            )
            images.result = f"{len(prepared.images)} images, {prepared.source}"
        # Tables name the source, and `auto` may be another one next time.
        base = base.with_values({"data.source": prepared.source})
        with phase(console, "oracle", "training a picture classifier") as judge:
            device = "cuda" if torch.cuda.is_available() else "cpu"
            oracle = prepare_oracle(prepared, base.data, device, judge.advance)
            judge.result = "a picture classifier for the scores in pixels"
            if prepared.source == "own":
                judge.result += f", {oracle.validation_accuracy:.3f} on validation"
        joined = settings.checkpoints.remote or address_of(settings.address) != LOCAL
        if prepared.source == "own" and joined:
            with progress(label_line("upload", "copying the pictures into the storage")):
                upload_pictures(settings.checkpoints, prepared, base.data.data_seed)
        database = f"MLflow at {without_password(settings.tracking)}"
        with progress(label_line("MLflow", "opening the database")), explain_wait(database):
            opening.result()
    return base, prepared.path, oracle.is_trusted


@contextmanager
def open_session(sweep: Sweep, interruption: Interruption, console: Console) -> Iterator[Session]:
    """Open the study, the records and the MLflow run of a locked sweep, and end the run."""
    session = _open(sweep, interruption, console)
    try:
        yield session
        if interruption.signal is None:
            note_end(session.study)
    finally:
        # No run stays RUNNING, even after an error.
        status: Status = "FINISHED" if session.found else "FAILED"
        try:
            session.tracking.close("KILLED" if interruption.signal is not None else status)
        finally:
            session.writer.close()


def _open(sweep: Sweep, interruption: Interruption, console: Console) -> Session:
    searches = sweep.settings.study is None
    study = open_search_study(sweep) if searches else open_runs(sweep, sweep.name)
    if not searches:
        store_settings(study, sweep.settings, sweep.base)
    run = open_stage(sweep, "search" if searches else "study", study, interruption)
    outbox, client = _open_outbox(sweep)
    resend_deleted_runs(sweep, outbox, client, console)
    report = sweep.folder / REPORT_FILE if searches else None
    writer = DeliveryWorker(outbox, NotedDelivery(client, study, report))
    tracking = RunTracker(writer, describe_sweep(sweep), run.trials, run.stage)
    tracking.open()
    tracking.end_all()
    return Session(**vars(run), tracking=tracking, writer=writer, console=console)


def open_runs(sweep: Sweep, name: str) -> Study:
    """Open or create an Optuna study of given runs."""
    storage = open_storage(sweep.folder, sweep.settings.study_storage)
    return open_study(storage, name, sweep.settings.objective)


def open_writer(sweep: Sweep) -> DeliveryWorker:
    """Start to deliver the entries that wait in a sweep's outbox."""
    return DeliveryWorker(*_open_outbox(sweep))


def _open_outbox(sweep: Sweep) -> tuple[Outbox, RunClient]:
    settings, experiment = sweep.settings, sweep.base.data.variant
    client = RunClient(settings.tracking, experiment, sweep.name, settings.system_metrics)
    return Outbox(sweep.folder), client


def resend_deleted_runs(
    sweep: Sweep, outbox: Outbox, delivery: RunClient, console: Console
) -> None:
    """Send the entries of runs that were deleted in MLflow again, and print which runs.

    Raises:
        UserError: MLflow cannot be read.
    """
    begun = outbox.begun()
    if not begun:
        return
    with explain_errors("tracking_uri", sweep.settings.tracking):
        lacking = delivery.find_lacking(begun)
    if not lacking:
        return
    gone = outbox.repeat(lacking)
    # The sweep's own run comes first.
    first = sorted(lacking, key=lambda key: (key != PARENT, key))
    names = ", ".join(first[:5]) + ", ..." * (len(first) > 5)
    without = f", without {gone} files that are gone" if gone else ""
    line = (
        f"{sweep.name}: MLflow lacks {len(lacking)} of {len(begun)} runs ({names}), which were "
        f"deleted, or are of another store: all their entries are sent again{without}"
    )
    console.print(Text(line), soft_wrap=True)


def open_stage(sweep: Sweep, stage: Stage, study: Study, interruption: Interruption) -> StageRun:
    """Load the trials that earlier sessions stored in a study, and their time spent."""
    settings, records = sweep.settings, TrialStore(study, stage)
    # Given runs have no limit of time: they are few.
    seconds = settings.time_budget if stage == "search" else math.inf
    budget = Budget(seconds, interruption, records.seconds)
    # A study's run is never continued once its scores are in a table.
    kept = 1 if stage == "study" else CHECKPOINTS_KEPT
    trials = Trials(settings.objective, sweep.base.training.steps, budget, records.load(), kept)
    if sweep.moved:
        trials.mend()
    return StageRun(sweep, stage, study, trials, budget)


def train_runs(
    session: Session,
    *listeners: Listener,
    wanted: Collection[str] | None = None,
    trainable: Trainable = train_and_score,
) -> None:
    """Train the runs that wait in a study to their last step and score them.

    Args:
        session: The session, of the runs' stage.
        listeners: Receive events after the tracking and before the console.
        wanted: Keys of the runs; by default all.
        trainable: What a run executes.
    """
    source = QueuedTrials(session.study, session.sweep.base, wanted)
    session.tracking.end_all()
    if source.left:
        trials = len(session.trials.ended()) + source.left
        with show_trials(session, trials, *listeners) as everybody:
            run_trials(session, source, everybody, trainable)


@contextmanager
def show_trials(session: Session, trials: int, *listeners: Listener) -> Iterator[list[Listener]]:
    """Show the trials of a stage while they run, and end their runs in MLflow.

    The first signal only stops the trials, through the budget.

    Args:
        session: The session, of the stage.
        trials: Most trials to run.
        listeners: Receive events after the tracking and before the console.

    Yields:
        All listeners, in order.
    """
    tracking, view = session.tracking, View(session.console, session, trials)

    def rescue() -> None:
        if view.live is not None:
            view.live.stop()
        print_interrupted(session)
        tracking.close("KILLED")
        session.writer.close()

    doing = format_count(trials, WORDS[session.stage])
    with phase(session.console, session.stage, doing, view.live) as shown:
        try:
            with session.budget.interruption.deferred(rescue):
                yield [tracking, *listeners, view]
        finally:
            tracking.cut_short()
        shown.result = view.describe_best()


def print_interrupted(session: Session) -> None:
    """Print that a sweep was interrupted, and how to continue it."""
    session.console.print(f"{session.sweep.name}: interrupted", highlight=False, soft_wrap=True)
    command = label_line("continue", session.sweep.resume_command)
    session.console.print(Text(command), soft_wrap=True)
