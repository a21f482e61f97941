"""From search to result: the best configurations, trained again on fresh seeds."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import Any

from optuna.study import Study
from rich.console import Console

from sweeps.budget import Budget
from sweeps.confirmed import Confirmed, note, print_confirmed, print_missing, print_notes
from sweeps.events import Listener
from sweeps.launch import Sweep
from sweeps.ledger import Ledger
from sweeps.models import best_confirm_run, log_model
from sweeps.record import Record
from sweeps.records import Records
from sweeps.results import write_trials
from sweeps.run_queue import QueuedRun, QueuedTrials, enqueue_runs, placed
from sweeps.session import Session, print_interrupted, train_runs
from sweeps.study import open_storage, open_study
from sweeps.tracking import Tracking
from sweeps.trainable import CHECKPOINT_FILE, CONFIG_FILE, Trainable, train_and_score
from weakdis_core.errors import UserError
from weakdis_core.pictures import FOLDER
from weakdis_core.rows import DeclaredRun
from weakdis_core.seeding import derive

CONFIRM_TABLE = "confirm.csv"


class _Files(Listener):
    """Stores a confirm run's files with it as soon as it has ended."""

    def __init__(self, sweep: Sweep, tracking: Tracking) -> None:
        self._sweep = sweep
        self._tracking = tracking
        self._left: list[Record] = []

    def trial_ended(self, record: Record) -> None:
        if record.outcome != "complete":
            return
        try:
            self._store(record)
        except OSError:
            # Tune would train the run again.
            self._left.append(record)

    def rest(self) -> None:
        """Store what could not be stored when its run ended.

        Raises:
            OSError: It still cannot.
        """
        for record in self._left:
            self._store(record)

    def _store(self, record: Record) -> None:
        if record.checkpoint is None:
            return
        run = record.trial_id
        folder = self._sweep.storage.fetch(record.checkpoint, self._sweep.folder)
        self._tracking.log_file(run, folder / CONFIG_FILE)
        self._tracking.log_files(run, folder / FOLDER, FOLDER)
        self._tracking.log_file(run, folder / CHECKPOINT_FILE, "checkpoint")


def fresh_seeds(seed: int, n: int) -> list[int]:
    """Seeds that the search has not used: derived from its own, and never equal to it.

    The same seed gives the same ones, so that configurations are compared on the same seeds.

    Args:
        seed: The search's.
        n: How many, all different.
    """
    # As wide as the setting allows.
    drawn = (derive(seed, f"confirm/{position}") % 2**31 for position in itertools.count())
    seeds: list[int] = []
    while len(seeds) < n:
        if (candidate := next(drawn)) not in (seed, *seeds):
            seeds.append(candidate)
    return seeds


def leaders(sweep: Sweep, search: Ledger) -> list[Record]:
    """The trials of the best different configurations, best first.

    Under pareto too the score is the accuracy. Where no trial is complete, the best of those cut
    short.
    """
    ranked = sorted(search.complete(), key=lambda record: record.score or 0.0, reverse=True)
    best = search.best_of_any()
    if not ranked and best is not None:
        ranked = [best]
    different: dict[str, Record] = {}
    for record in ranked:
        different.setdefault(config_hash(sweep, record), record)
    return list(different.values())[: sweep.settings.confirm_top]


def config_hash(sweep: Sweep, record: Record) -> str:
    """What identifies a trial's configuration, its seed apart."""
    return sweep.base.with_values(record.values).hash()


def confirm(search: Session, trainable: Trainable = train_and_score) -> bool:
    """Train the best configurations on fresh seeds, evaluate each run once on test, print them.

    Every run has a run of MLflow under the sweep's, tagged `stage = confirm`. There is no limit of
    time: the search's budget is the search's.

    Args:
        search: The session, whose search has ended.
        trainable: What a run is.

    Returns:
        Whether at least one run reached its end, and the user did not interrupt.
    """
    sweep, console, tracking = search.sweep, search.console, search.tracking
    trials = leaders(sweep, search.ledger)
    seeds = fresh_seeds(sweep.settings.seed, sweep.settings.confirm_seeds)
    values = [trial.values | {"seed": seed} for trial in trials for seed in seeds]
    console.print(f"\nconfirming on {len(seeds)} fresh seeds: {len(values)} runs")
    session = _confirm_session(search, values)
    files = _Files(sweep, session.tracking)
    try:
        source = QueuedTrials(session.study, sweep.base)
        train_runs(session, source, files, trainable=trainable)
        files.rest()
    finally:
        _log_table(sweep, session.ledger, tracking, console)
    if session.budget.interrupted:
        print_interrupted(session)
        return False
    # The study has what earlier sessions asked for as well: more seeds, or another winner.
    asked = [run for run in session.ledger.records.values() if run.values in values]
    # They start in any order.
    runs = sorted(asked, key=lambda run: values.index(run.values))
    confirmed = [_confirmed(sweep, trial, runs) for trial in trials]
    found = [each for each in confirmed if each.runs]
    for each in found:
        print_confirmed(console, sweep, each)
    if found:
        print_notes(console, sweep, found[0])
        tracking.add_note(" ".join(note(each) for each in found))
    print_missing(console, runs, len(values))
    chosen = best_confirm_run(session.ledger)
    if chosen is not None:
        log_model(sweep, chosen, "confirm", tracking, chosen.test)
    return bool(found)


def _confirm_session(search: Session, values: list[dict[str, Any]]) -> Session:
    sweep = search.sweep
    study = confirm_study(sweep, values)
    budget = Budget(math.inf, search.budget.interruption)
    records = Records(study, "confirm").load()
    ledger = Ledger(sweep.settings.objective, sweep.base.training.steps, budget, records)
    if sweep.moved:
        ledger.mend()
    tracking = search.tracking.of_stage("confirm", ledger)
    return replace(
        search, stage="confirm", study=study, ledger=ledger, budget=budget, tracking=tracking
    )


def confirm_study(sweep: Sweep, values: list[dict[str, Any]]) -> Study:
    """Open the Optuna study of a sweep's confirm runs, in which the runs asked for wait.

    Args:
        sweep: The sweep.
        values: What each run changes in the sweep's settings, its seed included.
    """
    storage = open_storage(sweep.folder, sweep.settings.study_storage)
    study = open_study(storage, f"{sweep.name}/confirm", sweep.settings.objective)
    # They stand in no row of the declared tables.
    runs = [DeclaredRun("", sweep.base.with_values(each), "raw") for each in values]
    queued = [QueuedRun(placed(run), each) for run, each in zip(runs, values, strict=True)]
    enqueue_runs(study, queued, sweep.base)
    return study


def _confirmed(sweep: Sweep, trial: Record, runs: list[Record]) -> Confirmed:
    config = sweep.base.with_values(trial.values)
    complete = [run for run in runs if run.outcome == "complete"]
    own = [run for run in complete if config_hash(sweep, run) == config.hash()]
    return Confirmed(trial, config.hash(), config.data.labels, own)


def _log_table(sweep: Sweep, ledger: Ledger, tracking: Tracking, console: Console) -> None:
    try:
        write_trials(ledger, sweep.folder / CONFIRM_TABLE)
    except UserError as error:
        # A full disk must not cost the result.
        console.print(f"table not written: {error}")
    else:
        tracking.log_file(None, sweep.folder / CONFIRM_TABLE)
