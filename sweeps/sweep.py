"""The sweep of one variant, from its data to its result and report."""

import os
import time
from collections.abc import Sequence
from contextlib import ExitStack
from math import ceil

from mlflow.utils.mlflow_tags import MLFLOW_RUN_NOTE
from optuna.trial import TrialState
from rich.console import Console
from rich.text import Text

from analysis.data.tracked_sweep import TrackedSweep
from sweeps.budget import Interruption
from sweeps.cli.phase import phase
from sweeps.cli.summary import print_summary
from sweeps.cli.trial_table import describe_score
from sweeps.cluster.allotment import Allotment
from sweeps.cluster.nodes import check_fits
from sweeps.cluster.ray_cluster import LOCAL, address_of, cluster
from sweeps.confirm import confirm
from sweeps.names import METRICS
from sweeps.results import evaluate_best, log_best, log_model, log_tables
from sweeps.search.tuner import run_search
from sweeps.session import (
    Session,
    open_session,
    open_sweep,
    open_writer,
    print_interrupted,
    show_trials,
)
from sweeps.state.catalog import check_names_are_free, check_not_running
from sweeps.state.resume import check_gpus
from sweeps.state.stage import REPORT_FILE, StageRun, Sweep
from sweeps.state.trial_store import count_remaining, end_out_of_time
from sweeps.study_training import train_study
from sweeps.sweep_settings import SweepSettings
from sweeps.text import format_count, format_duration
from sweeps.tracking.leaderboard_view import view_path
from sweeps.tracking.outbox import PARENT, Entry
from sweeps.tracking.worker import DeliveryWorker
from weakdis_core.errors import UserError


def run_sweeps(sweeps: Sequence[SweepSettings], console: Console) -> int:
    """Run sweeps, one after another.

    Returns:
        The exit code: 0; 1 if a sweep has no result; 128 + signal after a signal.

    Raises:
        UserError: A setting, the data, the storage or a database is at fault.
    """
    for settings in sweeps:
        (check_not_running if settings.resume or settings.study else check_names_are_free)(settings)
    address = address_of(sweeps[0].address)
    with ExitStack() as stack:
        doing = "starting Ray" if address == LOCAL else f"joining Ray at {address}"
        with phase(console, "start", doing) as start:
            available = stack.enter_context(cluster(address))
            allotments = [each.allot(available, grows=address != LOCAL) for each in sweeps]
            for settings, allotment in zip(sweeps, allotments, strict=True):
                if settings.max_concurrent is None:
                    check_fits(allotment)
                if settings.resume:
                    check_gpus(settings, allotment.gpus)
            there = ", ".join(f"{available.get(name, 0.0):g} {name}s" for name in ("CPU", "GPU"))
            start.result = f"{there}: {allotments[0].concurrent} trials at once"
        interruption = stack.enter_context(Interruption())
        found = True
        try:
            for settings, allotment in zip(sweeps, allotments, strict=True):
                for variant, name in settings.sweep_names().items():
                    if interruption.signal is None:
                        found &= _run(settings, variant, name, allotment, interruption, console)
        except KeyboardInterrupt:
            console.print("interrupted")
    if interruption.signal is not None:
        return interruption.exit_code
    return 0 if found else 1


def _run(
    settings: SweepSettings,
    variant: str,
    name: str,
    allotment: Allotment,
    interruption: Interruption,
    console: Console,
) -> bool:
    """Run the sweep or study of one variant; return whether it has a result."""
    searches, limit = settings.study is None, format_duration(settings.time_budget)
    most = format_count(settings.trials, "trial")
    what = f"at most {most} in {limit}" if searches else f"study {settings.study}"
    console.print(f"\n[bold]{name}[/bold]: {variant}, {what}", highlight=False, soft_wrap=True)
    with open_sweep(settings, variant, name, allotment, console) as sweep:
        with open_session(sweep, interruption, console) as session:
            session.found = search(session) if searches else train_study(session)
        if searches and session.found and not session.writer.undelivered:
            with phase(console, "report", "drawing figures") as report:
                if write_report(sweep, console):
                    report.result = os.path.relpath(sweep.folder / REPORT_FILE)
    print_undelivered(sweep, session.writer, console)
    return session.found


def search(session: Session) -> bool:
    """Search, score the best trial on test, and confirm the best configurations.

    Returns:
        Whether a trial has a score and, if asked for, a confirm run is complete, and the user did
        not interrupt.
    """
    sweep, trials, budget, console = session.sweep, session.trials, session.budget, session.console
    if left := count_without_time(session):
        console.print(
            f"{sweep.name}: no time for the {left} trials that are left: {budget.spent:.0f} of "
            f"{budget.seconds:g} s are spent; go on with {_more_time(session)}",
            soft_wrap=True,
        )
    _run_trials(session)
    record = trials.best_of_any()
    if budget.interrupted:
        print_interrupted(session)
        return False
    if record is None:
        reasons = [record.error for record in trials.records.values() if record.error][:1]
        if count_without_time(session):
            over = f"the time budget of {budget.seconds:g} s ended before any trial had a score"
            reasons.append(f"{over}; go on with {_more_time(session)}")
        line = Text(f"{sweep.name}: no trial has a result: {'; '.join(reasons) or 'no score'}")
        console.print(line, soft_wrap=True)
        return False
    with phase(console, "best on test", f"scoring trial {record.number}") as scoring:
        best = evaluate_best(sweep, record)
        log_best(session, session.tracking, best)
        log_model(sweep, session.tracking, record, "search", best.test)
        objective = sweep.settings.objective
        score = best.test.get(METRICS[objective].replace("val/", "test/"))
        scoring.result = describe_score(record, score, objective)
    confirmed = confirm(session) if sweep.settings.confirm_seeds else []
    if not budget.interrupted:
        print_summary(console, session, best, confirmed)
    return bool(confirmed) or not sweep.settings.confirm_seeds


def _more_time(run: StageRun) -> str:
    """Return the command that continues a sweep with twice the time."""
    seconds = ceil(2 * max(run.budget.seconds, run.budget.spent))
    return f"{run.sweep.resume_command} --time-budget {seconds}"


def count_without_time(run: StageRun) -> int:
    """Count the trials left if the time budget lets none of them run; else return 0."""
    states = [trial.state for trial in run.study.get_trials(deepcopy=False)]
    # A trial that was cut short continues as long as there is any time.
    some = run.budget.left > 0 and (TrialState.RUNNING in states or run.enough_time())
    return 0 if some else count_remaining(run.study, run.sweep.settings.trials)


def _run_trials(session: Session) -> None:
    try:
        with show_trials(session, session.sweep.settings.trials) as listeners:
            run_search(session, listeners)
            # After an interruption or an error, trials stay open for a resumed sweep.
            end_out_of_time(session)
    finally:
        log_tables(session, session.tracking, session.console)


def write_report(sweep: Sweep, console: Console) -> bool:
    """Write the report of a sweep from its runs in MLflow, and log it with the sweep's run.

    Returns:
        Whether it is written. An error is printed, since it can be written again at any time.
    """
    # Loads the libraries for drawing.
    from analysis.report.sweep_page import build_page

    path = sweep.folder / REPORT_FILE
    try:
        made = build_page(sweep.settings.tracking, sweep.name, sweep.base.data.variant)
        made.write(path)
    except Exception as error:
        # Of any class: the sweep itself has ended well.
        again = f"weakdis report --sweep {sweep.name}"
        reason = str(error) if isinstance(error, UserError) else repr(error)
        console.print(Text(f"report not made ({reason}); make it with {again}"), soft_wrap=True)
        return False
    writer = open_writer(sweep)
    at = int(time.time() * 1000)
    writer.submit(Entry(key=PARENT, kind="file", at=at, file=str(path)))
    writer.submit(Entry(key=PARENT, kind="log", at=at, tags={MLFLOW_RUN_NOTE: _linked(made.sweep)}))
    writer.close()
    print_undelivered(sweep, writer, console)
    return True


def _linked(tracked: TrackedSweep) -> str:
    """Return a sweep's description with links to its report and its best trial in MLflow's UI."""
    run, best = tracked.run, tracked.best
    experiment = run.info.experiment_id
    runs = f"#/experiments/{experiment}/runs"
    note = run.data.tags.get(MLFLOW_RUN_NOTE, "")
    note += f"\n\n[Leaderboard]({view_path(experiment, tracked.name)})"
    note += f", [curves and pictures]({view_path(experiment, tracked.name, charts=True)})"
    note += f", [report]({runs}/{run.info.run_id}/artifacts/{REPORT_FILE})"
    if best is not None:
        note += f", [trial {best['trial_id']}, the best]({runs}/{best['run_id']})"
    return note


def print_undelivered(sweep: Sweep, writer: DeliveryWorker, console: Console) -> None:
    """Print how many entries of a sweep MLflow refused or has not received."""
    if writer.failures:
        refused = f"MLflow refused {len(writer.failures)} entries: {writer.failures[0]}"
        console.print(Text(refused), soft_wrap=True)
    if writer.undelivered:
        waiting = (
            f"MLflow does not answer: {writer.undelivered} entries wait in {sweep.folder}; "
            f"deliver them with {sweep.resume_command}"
        )
        console.print(Text(waiting), soft_wrap=True)
