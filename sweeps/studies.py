"""A declared study of the paper on one variant: train the runs that are missing or stale."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from analysis.archive import read_frame
from analysis.declared import missing_and_stale
from sweeps.budget import Interruption
from sweeps.cluster import Allotment
from sweeps.launch import Sweep
from sweeps.record import Record
from sweeps.reported import say_what_mlflow_lacks
from sweeps.run_queue import QueuedRun, QueuedTrials, enqueue_runs, key_of, placed
from sweeps.session import Session, held_sweep, print_interrupted, session_of, train_runs
from sweeps.settings import SweepSettings
from sweeps.study import trial_id_of
from weakdis_core.errors import UserError
from weakdis_core.rows import DeclaredRun
from weakdis_core.studies import declared_runs


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
    with held_sweep(settings, variant, name, allotment) as (sweep, _, _):
        source = sweep.base.data.source
        declared = declared_runs(settings.study, variant, source, settings.seeds)
        with session_of(sweep, interruption, console) as session:
            session.found = _train(session, declared)
    say_what_mlflow_lacks(sweep, session.writer, console)
    return session.found


def _train(session: Session, declared: Sequence[DeclaredRun]) -> bool:
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
    train_runs(session, source)
    if session.budget.interrupted:
        print_interrupted(session)
        return False
    trials = {
        key_of(trial, sweep.base): trial for trial in session.study.get_trials(deepcopy=False)
    }
    ids = [trial_id_of(trials[run.key].number, "study") for run in queued]
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
