"""Scripted trials with the real Tune, Optuna and MLflow: all of them store the same ends."""

from __future__ import annotations

import csv
import dataclasses
import os
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState

from sweeps.budget import Budget, Interruption
from sweeps.cli.summary import pareto_front
from sweeps.cli.trial_table import summary_line
from sweeps.names import METRICS, RUNG_METRICS
from sweeps.results import write_trials
from sweeps.search.tuner import run_search
from sweeps.state.stage import StageRun
from sweeps.state.study import open_storage, open_study
from sweeps.state.trial_store import TrialStore
from sweeps.state.trials import Trials
from sweeps.trainable import checkpoints_of, reporting_errors
from sweeps.trial import Listener, TrialRecord
from tests.patience import PATIENCE
from tests.sweeps.support.scripted import STEPS, Ran, report, run_script

pytestmark = pytest.mark.slow
PIXELS = METRICS["pixels"]
RUNG = RUNG_METRICS["pixels"]


def doing_by_size() -> Callable[[dict[str, Any]], None]:
    """Trials of latent size 4 do well, 6 fail, 8 end without a number, 12 do badly.

    The first process of size 4 is killed after its second report.
    """

    def script(parameters: dict[str, Any]) -> None:
        size = parameters["values"]["model.latent_size"]
        kept = [(Path(each.path) / "file").read_text() for each in checkpoints_of(parameters)]
        lives = Path(parameters["storage"]) / f"lives-{size}"
        with lives.open("a") as file:
            file.write(" ".join(kept) + "\n")
        seen = int(kept[0]) if kept else 0
        if seen < 50:
            report(50, train__reconstruction=3.0)
        score = 1.0 if size == 8 else 1 / size
        if seen < 134:
            report(134, **{PIXELS: score, RUNG: score, "train/reconstruction": 2.0})
        if size == 4 and not kept:
            os.kill(os.getpid(), signal.SIGKILL)
        if size == 6:
            raise ValueError("the loss is not what it was")
        report(267, **{PIXELS: score, RUNG: score, "train/reconstruction": 2.0})
        report(STEPS, **{PIXELS: float("nan") if size == 8 else score, RUNG: score})

    return script


def lives(ran: Ran, size: int) -> list[str]:
    """Steps of the checkpoints that each process of a trial found, the newest first."""
    return (ran.folder.parent / f"lives-{size}").read_text().splitlines()


@pytest.fixture(scope="module")
def ran(
    resources: dict[str, float], empty_database: Path, tmp_path_factory: pytest.TempPathFactory
) -> Ran:
    """One trial of each kind; the first one has the worst score."""
    import shutil

    folder = tmp_path_factory.mktemp("scripted")
    shutil.copy(empty_database, folder / "mlflow.db")
    database = f"sqlite:///{folder / 'mlflow.db'}"
    return run_script(doing_by_size(), [16, 4, 8, 12, 6], database, folder)


def by_size(ran: Ran) -> dict[int, TrialRecord]:
    return {record.values["model.latent_size"]: record for record in ran.trials.records.values()}


def test_outcomes(ran: Ran) -> None:
    outcomes = {size: record.outcome for size, record in by_size(ran).items()}
    assert outcomes == {
        16: "complete", 4: "complete", 12: "pruned", 6: "failed", 8: "failed",
    }  # fmt: skip


def test_a_trial_that_raises_an_error_is_not_retried(ran: Ran) -> None:
    assert lives(ran, 6) == [""]


def test_an_error_of_the_storage_is_raised_so_that_tune_retries() -> None:
    def lost(parameters: dict[str, Any]) -> None:
        raise ConnectionError("no answer")

    with pytest.raises(ConnectionError):
        reporting_errors(lost)({})


def test_a_killed_trial_continues_from_its_last_checkpoint(ran: Ran) -> None:
    # It also gets the one before, in case the last cannot be read.
    assert lives(ran, 4) == ["", "134 50"]


def test_optuna_states(ran: Ran) -> None:
    assert ran.states == [
        TrialState.COMPLETE,
        TrialState.COMPLETE,
        TrialState.FAIL,
        TrialState.PRUNED,
        TrialState.FAIL,
    ]


def test_mlflow_states_and_reasons(ran: Ran) -> None:
    runs = {size: ran.children[record.trial_id] for size, record in by_size(ran).items()}
    status = {size: run.info.status for size, run in runs.items()}
    assert status == {16: "FINISHED", 4: "FINISHED", 12: "FINISHED", 6: "FAILED", 8: "FAILED"}
    assert runs[12].data.tags["outcome"] == "pruned"
    assert runs[6].data.tags["reason"] == "ValueError: the loss is not what it was"
    assert "nan" in runs[8].data.tags["reason"]
    assert ran.parent.info.status == "FINISHED"


def test_one_run_for_each_trial(ran: Ran) -> None:
    assert set(ran.children) == set(ran.trials.records)


def test_metrics_lie_at_their_training_steps(ran: Ran, resources: dict[str, float]) -> None:
    run = ran.children[by_size(ran)[4].trial_id]
    uri = f"sqlite:///{ran.folder.parent / 'mlflow.db'}"
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    scores = client.get_metric_history(run.info.run_id, PIXELS)
    # There is no score before warmup ends.
    assert [(metric.step, metric.value) for metric in scores] == [
        (134, 0.25),
        (267, 0.25),
        (400, 0.25),
    ]
    losses = client.get_metric_history(run.info.run_id, "train/reconstruction")
    assert [metric.step for metric in losses] == [50, 134, 267]
    best = client.get_metric_history(ran.parent.info.run_id, "best/relation_accuracy_pixels")
    values = [metric.value for metric in sorted(best, key=lambda metric: metric.step)]
    assert values == [1 / 16, 0.25, 0.25, 0.25, 0.25]


def test_the_last_two_checkpoints_are_kept_of_each_trial(ran: Ran) -> None:
    record = by_size(ran)[4]
    assert record.checkpoint is not None
    storage = ran.folder.parent
    assert (storage / record.checkpoint / "file").read_text() == "400"
    kept = (storage / record.checkpoint).parent.glob("checkpoint_*")
    # Paths are relative to the storage, which may be moved.
    assert sorted(str(path.relative_to(storage)) for path in kept) == record.checkpoints
    assert len(record.checkpoints) == 2


def test_the_best_is_a_complete_trial(ran: Ran) -> None:
    best = ran.trials.best()
    assert best is by_size(ran)[4]


def test_the_front_of_accuracy_against_labels(ran: Ran) -> None:
    points = pareto_front(ran.trials, 1000)
    assert points == sorted(points)
    assert points[-1][1] == 0.25


def test_the_table_of_trials(ran: Ran, tmp_path: Path) -> None:
    write_trials(ran.trials, tmp_path / "trials.csv")
    with (tmp_path / "trials.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["outcome"] for row in rows][:3] == ["complete", "complete", "failed"]
    assert rows[1]["model.latent_size"] == "4"
    assert float(rows[1][PIXELS]) == 0.25


def test_no_trial_is_started_without_time_to_end(ran: Ran) -> None:
    study = open_study(open_storage(ran.folder), "scripted", "pixels", ran.sweep.space)
    for seconds, enough in ((3600, True), (0.001, False)):
        budget = Budget(seconds, Interruption())
        run = StageRun(ran.sweep, "search", study, ran.trials, budget)
        assert run.enough_time() == enough


def test_a_resumed_search_stops_trials_by_reports_of_earlier_sessions(
    ran: Ran, resources: dict[str, float]
) -> None:
    study = open_study(open_storage(ran.folder), "scripted", "pixels", ran.sweep.space)
    study.enqueue_trial({"model.latent_size": 12})
    budget = Budget(PATIENCE, Interruption())
    trials = Trials("pixels", STEPS, budget, TrialStore(study).load())
    ended = {key: record.outcome for key, record in trials.records.items()}
    more = ran.sweep.settings.model_copy(update={"trials": len(ended) + 1})
    sweep = dataclasses.replace(ran.sweep, settings=more)
    run_search(StageRun(sweep, "search", study, trials, budget), [], doing_by_size())
    # Without the earlier reports it would not have been stopped.
    outcomes = {key: record.outcome for key, record in trials.records.items()}
    assert outcomes == ended | {"00005": "pruned"}


def test_a_trial_outside_the_space_fails_everywhere_and_the_sweep_goes_on(
    resources: dict[str, float], database: str, tmp_path: Path
) -> None:
    def script(parameters: dict[str, Any]) -> None:
        report(STEPS, **{PIXELS: 0.5})

    ran = run_script(script, [10, 4], database, tmp_path)
    assert ran.states == [TrialState.FAIL, TrialState.COMPLETE, TrialState.COMPLETE]
    refused, run = ran.trials.records["00000"], ran.children["00000"]
    reason = "model.latent_size: 10 is outside the search space; it must be one of"
    assert run.info.status == "FAILED"
    assert reason in run.data.tags["reason"]
    assert reason in summary_line(refused)
    # The next session does not send its end again.
    study = open_study(open_storage(ran.folder), "scripted", "pixels", ran.sweep.space)
    assert not TrialStore(study).load()["00000"].mended


class KillingIdleProcesses(Listener):
    """Kills the process of the first trial that ends, before the next trial reuses it."""

    pid = killed = 0

    def trial_reported(self, record: TrialRecord, result: Mapping[str, Any]) -> None:
        self.pid = int(result["pid"])

    def trial_ended(self, record: TrialRecord) -> None:
        if not self.killed:
            self.killed = self.pid
            os.kill(self.killed, signal.SIGKILL)


def test_a_trial_whose_reused_process_died_starts_again(
    resources: dict[str, float], database: str, tmp_path: Path
) -> None:
    killing = KillingIdleProcesses()

    def script(parameters: dict[str, Any]) -> None:
        report(STEPS, **{PIXELS: 0.5})

    ran = run_script(script, [4, 6], database, tmp_path, listeners=[killing])
    assert killing.killed
    assert ran.states == [TrialState.COMPLETE, TrialState.COMPLETE]
    assert [run.info.status for run in ran.children.values()] == ["FINISHED", "FINISHED"]


class EndingTime(Listener):
    """Ends the time after the first checkpoint."""

    over = False

    def checkpoint_saved(self, record: TrialRecord, path: str) -> None:
        self.over = True


def test_the_end_of_time_keeps_last_results(
    resources: dict[str, float], database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def script(parameters: dict[str, Any]) -> None:
        report(134, **{PIXELS: 0.5})
        time.sleep(PATIENCE)

    ending = EndingTime()
    left = property(lambda budget: 0.0 if ending.over else PATIENCE)
    monkeypatch.setattr(Budget, "left", left)
    ran = run_script(script, [4, 8], database, tmp_path, listeners=[ending])
    (record,) = ran.trials.records.values()
    assert (record.outcome, record.score, record.step) == ("out_of_time", 0.5, 134)
    assert ran.trials.best() is None
    assert ran.trials.best_of_any() is record
    assert ran.states[0] == TrialState.PRUNED
    assert TrialState.RUNNING not in ran.states
    assert [run.info.status for run in ran.children.values()] == ["KILLED"]
