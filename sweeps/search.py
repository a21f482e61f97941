"""One variant's sweep from its data to its result."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from sweeps.budget import Interruption
from sweeps.cluster import LOCAL, Allotment, address_of, allot, cluster
from sweeps.confirm import confirm
from sweeps.experiments import ui_command
from sweeps.launch import run_search
from sweeps.left import without_time
from sweeps.models import log_model
from sweeps.nodes import check_fits
from sweeps.records import end_out_of_time
from sweeps.reported import report, say_what_mlflow_lacks
from sweeps.results import evaluate_best, log_best, log_tables, print_results
from sweeps.resumed import check_gpus
from sweeps.session import Session, held_sweep, print_interrupted, session_of, shown
from sweeps.settings import SweepSettings
from sweeps.stored import check_free, check_new
from sweeps.studies import train_study
from weakdis_core.data.store import Prepared
from weakdis_core.errors import UserError
from weakdis_core.metrics.oracle import Oracle


def search_all(sweeps: Sequence[SweepSettings], console: Console) -> int:
    """Run the sweeps asked for, one after another.

    Args:
        sweeps: Settings of new sweeps (of one variant or of all), and of each resumed one.
        console: Where to print.

    Returns:
        The exit code: 0, 1 where a sweep has no result, 128 + signal where one stopped it.

    Raises:
        UserError: A setting, the data, the storage or the tracking database is at fault.
    """
    for settings in sweeps:
        (check_free if settings.resume or settings.study else check_new)(settings)
    address = sweeps[0].address
    with cluster(address) as available, Interruption() as interruption:
        joined = address_of(address) != LOCAL
        allotments = [allot(settings, available, grows=joined) for settings in sweeps]
        for settings, allotment in zip(sweeps, allotments, strict=True):
            if settings.max_concurrent is None:
                check_fits(allotment)
            if settings.resume:
                check_gpus(settings, allotment.gpus)
        found = True
        try:
            for settings, allotment in zip(sweeps, allotments, strict=True):
                run = search if settings.study is None else train_study
                for variant, name in settings.sweep_names().items():
                    if interruption.signal is None:
                        found &= run(settings, variant, name, allotment, interruption, console)
        except KeyboardInterrupt:
            console.print("interrupted")
    if interruption.signal is not None:
        return interruption.exit_code
    return 0 if found else 1


def search(
    settings: SweepSettings,
    variant: str,
    name: str,
    allotment: Allotment,
    interruption: Interruption,
    console: Console,
) -> bool:
    """Run a sweep, evaluate its best trial, confirm the best configurations and print the result.

    Returns:
        Whether it has a result: some trial got as far as a score, some confirm run (where asked
        for) to its end, and the user did not interrupt.

    Raises:
        UserError: A setting, the data, the storage or the tracking database is at fault.
    """
    with held_sweep(settings, variant, name, allotment) as (sweep, prepared, oracle):
        with session_of(sweep, interruption, console) as session:
            found = _run(session, prepared, oracle)
            if found and settings.confirm_seeds:
                found = confirm(session)
            session.found = found
        if found and not session.writer.undelivered:
            report(sweep, console)
    say_what_mlflow_lacks(sweep, session.writer, console)
    if found:
        console.print(f"sweep: {sweep.folder}\nMLflow: {ui_command(settings.tracking)}")
    return found


def _run(session: Session, prepared: Prepared, oracle: Oracle) -> bool:
    """Search, then evaluate the best trial; whether there is one."""
    sweep, study, ledger = session.sweep, session.study, session.ledger
    budget, tracking, console = session.budget, session.tracking, session.console
    if trials := without_time(sweep, study, ledger, budget):
        console.print(
            f"{sweep.name}: no time for the {trials} trials that are left: {budget.spent:.0f} of "
            f"{budget.seconds:g} s are spent; they need a larger --time-budget"
        )
    _search(session)
    record = ledger.best_of_any()
    if budget.interrupted:
        print_interrupted(session)
        return False
    if record is None:
        errors = [record.error for record in ledger.records.values() if record.error]
        reason = errors[0] if errors else "the time budget ended before any trial had a score"
        console.print(Text(f"{sweep.name}: no trial has a result: {reason}"))
        return False
    best = evaluate_best(sweep, record, prepared, oracle)
    log_best(sweep, study, best, tracking)
    print_results(console, sweep, ledger, best)
    test = {f"test/{name}": value for name, value in best.test.items()}
    log_model(sweep, record, "search", tracking, test)
    return True


def _search(session: Session) -> None:
    """Run the trials, until they have ended or something ends them."""
    sweep, ledger = session.sweep, session.ledger
    try:
        with shown(session, sweep.settings.trials) as listeners:
            run_search(session, listeners)
            # What an interruption or an error stopped goes on when the sweep is resumed.
            end_out_of_time(session.study, ledger, session.budget)
    finally:
        try:
            log_tables(sweep, session.study, ledger, session.tracking)
        except UserError as error:
            # A full disk must not cost the result.
            session.console.print(Text(f"tables not written: {error}"))
