"""From search to result: the best configurations, trained again on fresh seeds."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

from optuna.study import Study

from sweeps.cli.summary import Confirmed, print_confirmed, print_missing, print_notes
from sweeps.results import log_model, write_trials
from sweeps.search.run_queue import QueuedRun, enqueue_runs, with_runtime
from sweeps.session import Session, open_runs, print_interrupted, stage_run, train_runs
from sweeps.state.ledger import Ledger
from sweeps.state.stage import Sweep
from sweeps.tracking.outbox import PARENT
from sweeps.tracking.registry import SELECTED_BY
from sweeps.trainable import CHECKPOINT_FILE, CONFIG_FILE, Trainable, train_and_score
from sweeps.trial import Listener, TrialRecord
from weakdis_core.errors import UserError
from weakdis_core.pictures.write import FOLDER
from weakdis_core.rows import DeclaredRun
from weakdis_core.seeding import derive

CONFIRM_TABLE = "confirm.csv"


class _Files(Listener):
    """Stores a confirm run's files with it as soon as it has ended."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._left: list[TrialRecord] = []

    def trial_ended(self, record: TrialRecord) -> None:
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

    def _store(self, record: TrialRecord) -> None:
        if record.checkpoint is None:
            return
        run, tracking, sweep = record.trial_id, self._session.tracking, self._session.sweep
        folder = sweep.storage.fetch(record.checkpoint, sweep.folder)
        tracking.log_files(run, folder / CONFIG_FILE)
        tracking.log_files(run, folder / FOLDER, FOLDER)
        tracking.log_files(run, folder / CHECKPOINT_FILE, "checkpoint")


def fresh_seeds(seed: int, n: int) -> list[int]:
    """Derive `n` different seeds from that of the search, none of them equal to it.

    The same seed gives the same ones, so that configurations are compared on the same seeds.
    """
    # As wide as the setting allows.
    drawn = (derive(seed, f"confirm/{position}") % 2**31 for position in itertools.count())
    seeds: list[int] = []
    while len(seeds) < n:
        if (candidate := next(drawn)) not in (seed, *seeds):
            seeds.append(candidate)
    return seeds


def leaders(sweep: Sweep, search: Ledger) -> list[TrialRecord]:
    """The trials of the best different configurations, best first.

    Under pareto too the score is the accuracy. Where no trial is complete, the best of those cut
    short.
    """
    ranked = sorted(search.complete(), key=lambda record: record.score or 0.0, reverse=True)
    best = search.best_of_any()
    if not ranked and best is not None:
        ranked = [best]
    different: dict[str, TrialRecord] = {}
    for record in ranked:
        different.setdefault(config_hash(sweep, record), record)
    return list(different.values())[: sweep.settings.confirm_top]


def config_hash(sweep: Sweep, record: TrialRecord) -> str:
    """What identifies a trial's configuration, its seed apart."""
    return sweep.base.with_values(record.values).hash()


def confirm(search: Session, trainable: Trainable = train_and_score) -> bool:
    """Train the best configurations on fresh seeds, evaluate each run once on test, print them.

    Every run has a run of MLflow under the sweep's, tagged `stage = confirm`. There is no limit of
    time: the search's budget is the search's.

    Returns:
        Whether at least one run reached its end, and the user did not interrupt.
    """
    sweep, console, tracking = search.sweep, search.console, search.tracking
    trials = leaders(sweep, search.ledger)
    seeds = fresh_seeds(sweep.settings.seed, sweep.settings.confirm_seeds)
    values = [trial.values | {"seed": seed} for trial in trials for seed in seeds]
    console.print(f"\nconfirming on {len(seeds)} fresh seeds: {len(values)} runs")
    run = stage_run(sweep, "confirm", confirm_study(sweep, values), search.budget.interruption)
    session = replace(search, **vars(run), tracking=tracking.of_stage("confirm", run.ledger))
    files = _Files(session)
    try:
        train_runs(session, files, trainable=trainable)
        files.rest()
    finally:
        _log_table(search, run.ledger)
    if run.budget.interrupted:
        print_interrupted(session)
        return False
    # The study has what earlier sessions asked for as well: more seeds, or another winner.
    asked = [each for each in run.ledger.records.values() if each.values in values]
    # They start in any order.
    runs = sorted(asked, key=lambda each: values.index(each.values))
    confirmed = [_confirmed(sweep, trial, runs) for trial in trials]
    found = [each for each in confirmed if each.runs]
    for each in found:
        print_confirmed(console, sweep, each)
    if found:
        print_notes(console, sweep, found[0])
        tracking.add_note(" ".join(each.note() for each in found))
    print_missing(console, runs, len(values))
    # The one that does best on validation: its score on test is for the tables.
    trained = [each for each in run.ledger.complete() if each.checkpoint is not None]
    if trained:
        chosen = max(trained, key=lambda each: each.metrics.get(SELECTED_BY, 0.0))
        log_model(sweep, tracking, chosen, "confirm", chosen.test)
    return bool(found)


def confirm_study(sweep: Sweep, values: list[dict[str, Any]]) -> Study:
    """Open the Optuna study of a sweep's confirm runs, and add the runs asked for.

    `values` are what each run changes in the sweep's settings, its seed included.
    """
    study = open_runs(sweep, f"{sweep.name}/confirm")
    # They stand in no row of the declared tables.
    runs = [DeclaredRun("", sweep.base.with_values(each), "raw") for each in values]
    queued = [QueuedRun(with_runtime(run), each) for run, each in zip(runs, values, strict=True)]
    enqueue_runs(study, queued, sweep.base)
    return study


def _confirmed(sweep: Sweep, trial: TrialRecord, runs: list[TrialRecord]) -> Confirmed:
    config = sweep.base.with_values(trial.values)
    complete = [run for run in runs if run.outcome == "complete"]
    own = [run for run in complete if config_hash(sweep, run) == config.hash()]
    return Confirmed(trial, config, own)


def _log_table(search: Session, ledger: Ledger) -> None:
    file = search.sweep.folder / CONFIRM_TABLE
    try:
        write_trials(ledger, file)
    except UserError as error:
        # A full disk must not cost the result.
        search.console.print(f"table not written: {error}")
    else:
        search.tracking.log_files(PARENT, file)
