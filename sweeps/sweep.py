"""One variant's sweep from its data to its result."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

from optuna.trial import TrialState
from rich.console import Console
from rich.text import Text

from sweeps.budget import Interruption
from sweeps.cli.summary import print_results
from sweeps.cluster.allotment import Allotment, allot
from sweeps.cluster.nodes import check_fits
from sweeps.cluster.ray_cluster import LOCAL, address_of, cluster
from sweeps.confirm import confirm
from sweeps.page import make_page, print_undelivered
from sweeps.results import evaluate_best, log_best, log_model, log_tables
from sweeps.search.tuner import run_search
from sweeps.session import Session, open_session, open_sweep, print_interrupted, show_trials
from sweeps.state.catalog import check_names_are_free, check_not_running
from sweeps.state.resume import check_gpus
from sweeps.state.stage import StageRun
from sweeps.state.trial_store import count_remaining, end_out_of_time
from sweeps.study_training import train_study
from sweeps.sweep_settings import SweepSettings
from sweeps.tracking.experiments import ui_command
from weakdis_core.errors import UserError


def run_sweeps(sweeps: Sequence[SweepSettings], console: Console) -> int:
    """Run the sweeps asked for, one after another.

    Returns:
        The exit code: 0, 1 where a sweep has no result, 128 + signal where one stopped it.

    Raises:
        UserError: A setting, the data, the storage or the tracking database is at fault.
    """
    for settings in sweeps:
        (check_not_running if settings.resume or settings.study else check_names_are_free)(settings)
    address = sweeps[0].address
    with cluster(address) as available, Interruption() as interruption:
        joined = address_of(address) != LOCAL
        allotments = [allot(settings.demand, available, grows=joined) for settings in sweeps]
        for settings, allotment in zip(sweeps, allotments, strict=True):
            if settings.max_concurrent is None:
                check_fits(allotment)
            if settings.resume:
                check_gpus(settings, allotment.gpus)
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
    """Run one variant's sweep, or study of the paper; whether it has a result."""
    searches = settings.study is None
    with open_sweep(settings, variant, name, allotment) as sweep:
        with open_session(sweep, interruption, console) as session:
            session.found = search(session) if searches else train_study(session)
        if searches and session.found and not session.writer.undelivered:
            make_page(sweep, console)
    print_undelivered(sweep, session.writer, console)
    if searches and session.found:
        console.print(f"sweep: {sweep.folder}\nMLflow: {ui_command(settings.tracking)}")
    return session.found


def search(session: Session) -> bool:
    """Search, evaluate the best trial, confirm the best configurations and print the result.

    Returns:
        Whether it has a result: some trial got as far as a score, some confirm run (where asked
        for) to its end, and the user did not interrupt.
    """
    sweep, ledger, budget, console = session.sweep, session.ledger, session.budget, session.console
    if trials := without_time(session):
        console.print(
            f"{sweep.name}: no time for the {trials} trials that are left: {budget.spent:.0f} of "
            f"{budget.seconds:g} s are spent; go on with {_more_time(session)}",
            soft_wrap=True,
        )
    _run_trials(session)
    record = ledger.best_of_any()
    if budget.interrupted:
        print_interrupted(session)
        return False
    if record is None:
        reasons = [record.error for record in ledger.records.values() if record.error][:1]
        if without_time(session):
            over = f"the time budget of {budget.seconds:g} s ended before any trial had a score"
            reasons.append(f"{over}; go on with {_more_time(session)}")
        line = Text(f"{sweep.name}: no trial has a result: {'; '.join(reasons) or 'no score'}")
        console.print(line, soft_wrap=True)
        return False
    best = evaluate_best(sweep, record)
    log_best(session, session.tracking, best)
    print_results(console, session, best)
    log_model(sweep, session.tracking, record, "search", best.test)
    return confirm(session) if sweep.settings.confirm_seeds else True


def _more_time(run: StageRun) -> str:
    """The command that goes on with a sweep whose time is over: with twice the time."""
    seconds = ceil(2 * max(run.budget.seconds, run.budget.spent))
    return f"{run.sweep.resume_command} --time-budget {seconds}"


def without_time(run: StageRun) -> int:
    """How many trials are left that the time budget lets none of run; 0 where it lets some."""
    states = [trial.state for trial in run.study.get_trials(deepcopy=False)]
    # What was cut short goes on as long as there is any time.
    some = run.budget.left > 0 and (TrialState.RUNNING in states or run.enough_time())
    return 0 if some else count_remaining(run.study, run.sweep.settings.trials)


def _run_trials(session: Session) -> None:
    """Run the trials, until they have ended or something ends them."""
    try:
        with show_trials(session, session.sweep.settings.trials) as listeners:
            run_search(session, listeners)
            # What an interruption or an error stopped goes on when the sweep is resumed.
            end_out_of_time(session)
    finally:
        try:
            log_tables(session, session.tracking)
        except UserError as error:
            # A full disk must not cost the result.
            session.console.print(Text(f"tables not written: {error}"))
