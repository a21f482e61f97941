"""The best trial in MLflow, and the place of artifacts."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from mlflow import MlflowClient

from sweeps.budget import Budget, Interruption
from sweeps.cluster.allotment import Allotment
from sweeps.results import BEST_FILE, Best, log_best
from sweeps.search.space import build_space
from sweeps.state.catalog import find_sweep
from sweeps.state.stage import StageRun, Sweep
from sweeps.state.trials import Trials
from sweeps.tracking.client import RunClient
from sweeps.tracking.experiments import open_experiment
from sweeps.tracking.outbox import Entry, Outbox
from sweeps.tracking.run_info import SweepRun
from sweeps.tracking.run_tracker import RunTracker
from sweeps.tracking.worker import DeliveryWorker
from sweeps.trial import TrialRecord
from tests.sweeps.support.finished import runs_of
from tests.sweeps.support.kept import VARIANT, a_stored_sweep
from weakdis_core.pictures.write import FOLDER


def test_one_trial_is_the_best_at_a_time(database: str, tmp_path: Path) -> None:
    settings = a_stored_sweep(tmp_path, "one")
    base, place = settings.base_config(VARIANT), tmp_path / "one"
    space = build_space(base, {})
    sweep = Sweep("one", place, settings, base, space, place, Allotment(1.0, 0.0, 1))
    open_experiment(database, VARIANT, "one")
    writer = DeliveryWorker(Outbox(place), RunClient(database, VARIANT, "one"))
    budget = Budget(60.0, Interruption())
    trials = Trials("pixels", 30, budget)
    tracking = RunTracker(writer, SweepRun("one", base, {}, {}), trials)
    tracking.open()
    (place / BEST_FILE).touch()
    for folder in (FOLDER, "checkpoint"):
        (place / folder).mkdir()
    run = StageRun(sweep, "search", find_sweep(settings, "one").study, trials, budget)
    first = TrialRecord(1, "00001", {}, "complete", 30, score=0.5)
    best = Best(first, place / "checkpoint", {})
    # The second is found when the sweep has been extended.
    for number in (1, 1, 2):
        record = dataclasses.replace(first, number=number, trial_id=f"0000{number}")
        tags = {"kind": "trial", "trial_id": record.trial_id, "sweep": "one"}
        writer.submit(Entry(key=record.trial_id, kind="begin", at=1, tags=tags))
        log_best(run, tracking, dataclasses.replace(best, record=record))
    tracking.close("FINISHED")
    writer.close()
    assert not writer.failures
    parent, children = runs_of(database, VARIANT, "one")
    marked = {child.data.tags["trial_id"]: child.data.tags["best"] for child in children}
    assert marked == {"00001": "false", "00002": "true"}
    assert parent.data.tags["best_trial_id"] == "00002"


def test_files_lie_beside_a_local_database_or_among_the_sweeps(
    database: str, tmp_path: Path
) -> None:
    # To MLflow a database such as PostgreSQL, whose address names no folder.
    other = database.replace("sqlite://", "sqlite+pysqlite://")
    client = MlflowClient(tracking_uri=database)
    runs = tmp_path / "elsewhere" / "runs"
    for name, uri, place in (("a", database, tmp_path), ("b", other, runs)):
        open_experiment(uri, name, "one", folder=runs)
        experiment = client.get_experiment_by_name(name)
        assert experiment is not None
        assert experiment.artifact_location == (place / "mlruns" / name).as_uri()
