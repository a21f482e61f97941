"""Confirmation of a search: its best configurations are trained again on fresh seeds."""

import itertools
from dataclasses import replace
from typing import Any

from optuna.study import Study

from sweeps.cli.summary import Confirmed, print_missing
from sweeps.results import log_model, log_tables
from sweeps.search.run_queue import QueuedRun, enqueue_runs, with_runtime
from sweeps.session import Session, open_runs, open_stage, print_interrupted, train_runs
from sweeps.state.stage import Sweep
from sweeps.state.trials import Trials
from sweeps.tracking.registry import SELECTED_BY
from sweeps.trainable import CHECKPOINT_FILE, CONFIG_FILE, Trainable, train_and_score
from sweeps.trial import Listener, TrialRecord
from weakdis_core.pictures.write import FOLDER
from weakdis_core.rows import DeclaredRun
from weakdis_core.seeding import derive


class _FileLogger(Listener):
    """Logs the files of each confirm run when it is complete."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._failed: list[TrialRecord] = []

    def trial_ended(self, record: TrialRecord) -> None:
        try:
            self._log(record)
        except OSError:
            # Tune would train the run again if this were raised here.
            self._failed.append(record)

    def log_failed(self) -> None:
        """Log the files that could not be read when their run ended.

        Raises:
            OSError: They still cannot be read.
        """
        for record in self._failed:
            self._log(record)

    def _log(self, record: TrialRecord) -> None:
        if record.outcome != "complete" or record.checkpoint is None:
            return
        run, tracking, sweep = record.trial_id, self._session.tracking, self._session.sweep
        folder = sweep.storage.fetch(record.checkpoint, sweep.folder)
        tracking.log_files(run, folder / CONFIG_FILE)
        tracking.log_files(run, folder / FOLDER, FOLDER)
        tracking.log_files(run, folder / CHECKPOINT_FILE, "checkpoint")
        tracking.log_sheets(run, folder)


def fresh_seeds(seed: int, n: int) -> list[int]:
    """Derive `n` different seeds from that of the search, none of them equal to it.

    All configurations are trained on the same seeds, so that they can be compared.
    """
    # As wide as the setting allows.
    drawn = (derive(seed, f"confirm/{position}") % 2**31 for position in itertools.count())
    seeds: list[int] = []
    while len(seeds) < n:
        if (candidate := next(drawn)) not in (seed, *seeds):
            seeds.append(candidate)
    return seeds


def leaders(sweep: Sweep, search: Trials) -> list[TrialRecord]:
    """Return the trials of the most accurate different configurations, best first.

    Without a complete trial it is the best of those cut short.
    """
    ranked = sorted(search.complete(), key=lambda record: record.score or 0.0, reverse=True)
    best = search.best_of_any()
    if not ranked and best is not None:
        ranked = [best]
    different: dict[str, TrialRecord] = {}
    for record in ranked:
        different.setdefault(_config_hash(sweep, record), record)
    return list(different.values())[: sweep.settings.confirm_top]


def _config_hash(sweep: Sweep, record: TrialRecord) -> str:
    """Return the hash of a trial's configuration, which leaves out the seed."""
    return sweep.base.with_values(record.values).hash()


def confirm(search: Session, trainable: Trainable = train_and_score) -> list[Confirmed]:
    """Train the best configurations on fresh seeds, and score each run once on test.

    Every run has an MLflow run below the sweep's, tagged `stage = confirm`. The time budget is for
    the search alone.

    Returns:
        The configurations with at least one complete run; none if the user interrupted.
    """
    sweep, console, tracking = search.sweep, search.console, search.tracking
    trials = leaders(sweep, search.trials)
    seeds = fresh_seeds(sweep.settings.seed, sweep.settings.confirm_seeds)
    values = [trial.values | {"seed": seed} for trial in trials for seed in seeds]
    run = open_stage(sweep, "confirm", confirm_study(sweep, values), search.budget.interruption)
    session = replace(search, **vars(run), tracking=tracking.of_stage("confirm", run.trials))
    files = _FileLogger(session)
    try:
        train_runs(session, files, trainable=trainable)
        files.log_failed()
    finally:
        log_tables(run, tracking, console)
    if run.budget.interrupted:
        print_interrupted(session)
        return []
    # The study also has runs that earlier sessions asked for: more seeds, or another winner.
    asked = [each for each in run.trials.records.values() if each.values in values]
    runs = sorted(asked, key=lambda each: values.index(each.values))
    found = [each for each in (_confirmed(sweep, trial, runs) for trial in trials) if each.runs]
    if found:
        tracking.add_note(" ".join(each.note() for each in found))
    print_missing(console, runs, len(values))
    # Selected on validation: scores on test are for the tables.
    trained = [each for each in run.trials.complete() if each.checkpoint is not None]
    if trained:
        chosen = max(trained, key=lambda each: each.metrics.get(SELECTED_BY, 0.0))
        log_model(sweep, tracking, chosen, "confirm", chosen.test)
    return found


def confirm_study(sweep: Sweep, values: list[dict[str, Any]]) -> Study:
    """Open the Optuna study of a sweep's confirm runs, and enqueue the runs that are missing.

    Args:
        sweep: The sweep.
        values: The settings that each run changes, its seed included.
    """
    study = open_runs(sweep, f"{sweep.name}/confirm")
    # No row: they are not among the declared runs of the tables.
    runs = [DeclaredRun("", sweep.base.with_values(each), "raw") for each in values]
    queued = [QueuedRun(with_runtime(run), each) for run, each in zip(runs, values, strict=True)]
    enqueue_runs(study, queued, sweep.base)
    return study


def _confirmed(sweep: Sweep, trial: TrialRecord, runs: list[TrialRecord]) -> Confirmed:
    config = sweep.base.with_values(trial.values)
    complete = [run for run in runs if run.outcome == "complete"]
    own = [run for run in complete if _config_hash(sweep, run) == config.hash()]
    return Confirmed(trial, config, own)
