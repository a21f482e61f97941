"""A declared study of the paper on one variant: train the runs that are missing or stale."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from optuna import logging as optuna_logging
from optuna.study import Study
from rich.console import Console
from rich.text import Text

from analysis.declared import missing_and_stale
from analysis.frame import read_frame
from analysis.outbox import OUTBOX_FILE
from sweeps.budget import Budget, Interruption
from sweeps.cluster import Allotment
from sweeps.console import say_interrupted
from sweeps.delivery import Delivery
from sweeps.launch import Sweep
from sweeps.ledger import Ledger
from sweeps.locks import claimed
from sweeps.outbox import Outbox
from sweeps.preparation import prepare_sweep
from sweeps.record import TRIAL_WORDS, Record
from sweeps.records import Records
from sweeps.reported import say_what_mlflow_lacks
from sweeps.run_queue import QueuedRun, QueuedTrials, enqueue_runs, key_of, placed
from sweeps.runs import train_runs
from sweeps.settings import Objective, SweepSettings
from sweeps.storage import storage_errors_explained
from sweeps.stored import keep
from sweeps.study import open_storage, open_study, trial_id_of
from sweeps.told import sweep_run
from sweeps.tracking import Status, Tracking
from sweeps.writer import Writer
from weakdis_core.errors import UserError
from weakdis_core.rows import DeclaredRun
from weakdis_core.studies import declared_runs

_OBJECTIVE: Objective = "pixels"
# A study's run is trained once, and its row replaces its checkpoint.
_CHECKPOINTS = 1


@dataclass(frozen=True)
class _Session:
    """What one session of a study works with."""

    sweep: Sweep
    study: Study
    ledger: Ledger
    budget: Budget
    tracking: Tracking
    console: Console


def train_study(
    settings: SweepSettings,
    variant: str,
    name: str,
    allotment: Allotment,
    interruption: Interruption,
    console: Console,
) -> bool:
    """Train what a study lacks on a variant; a session that was interrupted is continued.

    Args:
        settings: What the user asked for: the study, and the training seeds if not its own.
        variant: The variant.
        name: Name of the study's sweep.
        allotment: What a run gets.
        interruption: The signals received.
        console: Where to print.

    Returns:
        Whether every run of the study has its scores, and the user did not interrupt.

    Raises:
        UserError: A setting, the data, the storage or the tracking database is at fault.
    """
    assert settings.study is not None
    folder = settings.folder / name
    base, prepared, _ = prepare_sweep(settings, variant, name)
    if not allotment.gpus:
        # Ray hides no GPU from a trial that asks for none.
        base = base.with_values({"runtime.device": "cpu"})
    declared = declared_runs(settings.study, variant, base.data.source, settings.seeds)
    folder.mkdir(parents=True, exist_ok=True)
    optuna_logging.set_verbosity(optuna_logging.WARNING)
    moved = not (folder / OUTBOX_FILE).exists()
    with storage_errors_explained(folder), claimed(folder, settings.study_storage) as claim:
        sweep = Sweep(name, folder, settings, base, {}, prepared.path, allotment, moved, claim)
        writer = Writer(Outbox(folder), Delivery(settings.tracking, variant, name))
        session = _open(sweep, writer, interruption, console)
        status: Status = "FAILED"
        try:
            if _train(session, declared):
                status = "FINISHED"
        finally:
            # Whatever happened, no run is left RUNNING.
            try:
                session.tracking.close("KILLED" if interruption.signal is not None else status)
            finally:
                writer.close()
    say_what_mlflow_lacks(sweep, writer, console)
    return status == "FINISHED"


def _open(sweep: Sweep, writer: Writer, interruption: Interruption, console: Console) -> _Session:
    """Open the study, its records and its run in MLflow."""
    storage = open_storage(sweep.folder, sweep.settings.study_storage)
    study = open_study(storage, sweep.name, _OBJECTIVE)
    keep(study, sweep.settings, sweep.base)
    records = Records(study, TRIAL_WORDS["study"])
    budget = Budget(math.inf, interruption, records.seconds)
    steps = sweep.base.training.steps
    ledger = Ledger(_OBJECTIVE, steps, budget, records.load(), _CHECKPOINTS)
    if sweep.moved:
        ledger.mend()
    tracking = Tracking(writer, sweep_run(sweep), ledger, "study")
    tracking.open()
    tracking.end_all()
    return _Session(sweep, study, ledger, budget, tracking, console)


def _train(session: _Session, declared: Sequence[DeclaredRun]) -> bool:
    """Train the declared runs that have no scores; whether none is left."""
    sweep, console = session.sweep, session.console
    # What an interrupted session has trained counts once MLflow has it.
    if not session.tracking.flush():
        raise UserError(
            f"tracking_uri: MLflow does not answer, so what {sweep.name} still needs is unknown; "
            "run the same command again when it does"
        )
    missing, stale = missing_and_stale(read_frame(sweep.settings.tracking), declared)
    queued = [QueuedRun(placed(run, sweep.base.runtime), _shown(run)) for run in missing + stale]
    enqueue_runs(session.study, queued, sweep.base, retrain=True)
    source = QueuedTrials(session.study, sweep.base, {run.key for run in queued})
    train_runs(
        sweep, "study", session.study, source, session.ledger, session.budget, session.tracking,
        console,
    )  # fmt: skip
    if session.budget.interrupted:
        say_interrupted(console, sweep.name, sweep.folder, "runs", sweep.resume_command)
        return False
    trials = {
        key_of(trial, sweep.base): trial for trial in session.study.get_trials(deepcopy=False)
    }
    ids = [trial_id_of(trials[run.key].number, TRIAL_WORDS["study"]) for run in queued]
    runs = [session.ledger.records[trial_id] for trial_id in ids]
    failed = [run for run in runs if run.outcome != "complete"]
    _print_end(console, sweep, declared, len(queued), failed)
    return not failed


def _shown(run: DeclaredRun) -> dict[str, object]:
    return {"row": run.row, "seed": run.config.seed}


def _print_end(
    console: Console,
    sweep: Sweep,
    declared: Sequence[DeclaredRun],
    asked: int,
    failed: Sequence[Record],
) -> None:
    if not asked:
        console.print(f"{sweep.name}: nothing left to train of {len(declared)} runs")
        return
    done = asked - len(failed)
    console.print(
        f"{sweep.name}: {done} of {asked} runs trained. Write them into the archive with "
        "`python -m analysis export`, and docs/results.md with `python -m analysis results`.",
        highlight=False,
    )
    for run in failed:
        line = f"{run.values['row']}, seed {run.values['seed']} {run.outcome}: {run.error}"
        console.print(Text(line), soft_wrap=True)
