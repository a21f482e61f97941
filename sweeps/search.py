"""One variant's sweep from its data to its result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from optuna import logging as optuna_logging
from optuna.study import Study
from rich.console import Console
from rich.text import Text

from analysis.outbox import OUTBOX_FILE
from sweeps.budget import Budget, Interruption
from sweeps.cluster import LOCAL, Allotment, address_of, allot, cluster
from sweeps.confirm import confirm
from sweeps.console import View, say_interrupted
from sweeps.delivery import Delivery
from sweeps.experiments import ui_command
from sweeps.launch import Sweep, run_trials, search_study
from sweeps.ledger import Ledger
from sweeps.left import without_time
from sweeps.locks import claimed
from sweeps.models import log_model
from sweeps.nodes import check_fits
from sweeps.outbox import Outbox
from sweeps.preparation import prepare_sweep
from sweeps.records import Records, end_out_of_time
from sweeps.reported import report, say_what_mlflow_lacks
from sweeps.results import evaluate_best, print_results
from sweeps.resumed import check_gpus
from sweeps.settings import SweepSettings
from sweeps.space import build_space
from sweeps.storage import storage_errors_explained
from sweeps.stored import check_free, check_new, keep
from sweeps.studies import train_study
from sweeps.told import log_best, log_tables, sweep_run
from sweeps.tracking import Status, Tracking
from sweeps.writer import Writer
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


@dataclass(frozen=True)
class _Session:
    """What one session of a sweep works with."""

    sweep: Sweep
    study: Study
    ledger: Ledger
    budget: Budget
    tracking: Tracking
    writer: Writer
    console: Console


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
    folder = settings.folder / name
    space = build_space(
        settings.base_config(variant), settings.fixed, settings.search_learning_rate
    )
    base, prepared, oracle = prepare_sweep(settings, variant, name)
    if not allotment.gpus:
        # Ray hides no GPU from a trial that asks for none.
        base = base.with_values({"runtime.device": "cpu"})
    moved = settings.resume is not None and not (folder / OUTBOX_FILE).exists()
    folder.mkdir(parents=True, exist_ok=True)
    optuna_logging.set_verbosity(optuna_logging.WARNING)
    with storage_errors_explained(folder), claimed(folder, settings.study_storage) as claim:
        sweep = Sweep(name, folder, settings, base, space, prepared.path, allotment, moved, claim)
        session = _open(sweep, interruption, console)
        status: Status = "FAILED"
        found = False
        try:
            found = _run(session, prepared, oracle)
            if found and settings.confirm_seeds:
                found = confirm(sweep, session.ledger, session.tracking, interruption, console)
            status = "FINISHED" if found else "FAILED"
        finally:
            # Whatever happened, no run is left RUNNING.
            try:
                session.tracking.close("KILLED" if interruption.signal is not None else status)
            finally:
                session.writer.close()
        if found and not session.writer.undelivered:
            report(sweep, console)
    say_what_mlflow_lacks(sweep, session.writer, console)
    if found:
        console.print(f"sweep: {folder}\nMLflow: {ui_command(settings.tracking)}")
    return found


def _open(sweep: Sweep, interruption: Interruption, console: Console) -> _Session:
    """Open the study and the records of a sweep, and its run in MLflow."""
    settings, base = sweep.settings, sweep.base
    study = search_study(sweep)
    keep(study, settings, base)
    records = Records(study)
    budget = Budget(settings.time_budget, interruption, records.seconds)
    ledger = Ledger(settings.objective, base.training.steps, budget, records.load())
    if sweep.moved:
        ledger.mend()
    delivery = Delivery(settings.tracking, base.data.variant, sweep.name)
    writer = Writer(Outbox(sweep.folder), delivery)
    tracking = Tracking(writer, sweep_run(sweep), ledger)
    tracking.open()
    tracking.end_all()
    return _Session(sweep, study, ledger, budget, tracking, writer, console)


def _run(session: _Session, prepared: Prepared, oracle: Oracle) -> bool:
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
        say_interrupted(console, sweep.name, sweep.folder, "trials")
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


def _search(session: _Session) -> None:
    """Run the trials, until they have ended or something ends them."""
    sweep, study, ledger = session.sweep, session.study, session.ledger
    budget, tracking, console = session.budget, session.tracking, session.console
    view = View(console, sweep.name, ledger, budget, sweep.settings.trials)

    def rescue() -> None:
        view.close()
        say_interrupted(console, sweep.name, sweep.folder, "trials")
        tracking.abandon()

    try:
        with budget.interruption.deferred(rescue):
            run_trials(sweep, study, ledger, budget, [tracking, view])
        # What an interruption or an error stopped goes on when the sweep is resumed.
        end_out_of_time(study, ledger, budget)
    finally:
        view.close()
        try:
            log_tables(sweep, study, ledger, tracking)
        except UserError as error:
            # A full disk must not cost the result.
            console.print(Text(f"tables not written: {error}"))
