"""Models in MLflow's registry: one version each, and the alias with the best on validation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models import Model

from analysis.serving.model_address import find_checkpoint
from analysis.serving.served import save_served
from sweeps.tracking.client import RunClient, may_work_later
from sweeps.tracking.experiments import open_experiment
from sweeps.tracking.outbox import PARENT, Entry, Outbox
from sweeps.tracking.registry import SELECTED_BY
from sweeps.tracking.worker import DeliveryWorker
from tests.analysis.untrained import untrained
from tests.sweeps.support.finished import runs_of
from tests.sweeps.support.server import Server
from weakdis_core.model import load

VARIANT, NAME = "dsprites_v2", "weakdis-dsprites_v2"


def begin(key: str) -> Entry:
    kind = {"kind": "sweep"} if key == PARENT else {"kind": "trial", "trial_id": key}
    return Entry(key=key, kind="begin", at=1000, tags={"sweep": "one", **kind})


def model_of(
    key: str, folder: Path, score: float | None, source: str = "rendered", step: int = 30
) -> Entry:
    scores = {"test/relation_accuracy_pixels": 0.5, "train/loss": 3.0}
    if score is not None:
        scores[SELECTED_BY] = score
    tags = {"data.source": source, "sweep": "one", "stage": "search", "seed": "0"}
    return Entry(
        key=key, kind="model", at=2000, step=step, file=str(folder), model=NAME,
        metrics=scores, tags=tags,
    )  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The smallest that MLflow takes for a model."""
    place = tmp_path / "model"
    place.mkdir()
    Model().save(str(place / "MLmodel"))
    return place


def sweep(uri: str, *trials: str) -> RunClient:
    """A sweep whose trials have begun."""
    open_experiment(uri, VARIANT, "one")
    deliver = RunClient(uri, VARIANT, "one")
    for key in (PARENT, *trials):
        deliver(begin(key))
    return deliver


def versions(uri: str) -> list[ModelVersion]:
    found = MlflowClient(tracking_uri=uri).search_model_versions(f"name = '{NAME}'")
    return sorted(found, key=lambda version: int(version.version))


def models(uri: str, run: Run) -> list[str]:
    """Ids of the models stored with a run."""
    outputs = MlflowClient(tracking_uri=uri).get_run(run.info.run_id).outputs
    return [output.model_id for output in outputs.model_outputs] if outputs else []


def best(uri: str) -> str:
    version = MlflowClient(tracking_uri=uri).get_model_version_by_alias(NAME, "best")
    return str(version.run_id)


def test_an_entry_sent_twice_makes_one_version_with_its_scores(database: str, folder: Path) -> None:
    deliver = sweep(database, "00001")
    entry = model_of("00001", folder, 0.25)
    deliver(Entry(key="00001", kind="log", at=1500, step=30, metrics={SELECTED_BY: 0.25}))
    deliver(entry)
    deliver(entry)
    # Another session, as after a crash.
    RunClient(database, VARIANT, "one")(entry)
    _, (run,) = runs_of(database, VARIANT, "one")
    (version,) = versions(database)
    assert version.run_id == run.info.run_id == best(database)
    assert version.tags[SELECTED_BY] == "0.25"
    assert version.tags["test/relation_accuracy_pixels"] == "0.5"
    assert "train/loss" not in version.tags
    assert (version.tags["data.source"], version.tags["stage"]) == ("rendered", "search")
    (model_id,) = models(database, run)
    assert version.tags["model_id"] == model_id
    stored = MlflowClient(tracking_uri=database).get_logged_model(model_id)
    assert {metric.key: metric.value for metric in stored.metrics or []} == {SELECTED_BY: 0.25}
    client = MlflowClient(tracking_uri=database)
    history = client.get_metric_history(run.info.run_id, SELECTED_BY)
    assert [(point.step, point.timestamp) for point in history] == [(30, 1500)]


def test_a_resumed_trial_gets_another_version(database: str, folder: Path) -> None:
    deliver = sweep(database, "00001")
    deliver(model_of("00001", folder, 0.25, step=20))
    deliver(model_of("00001", folder, 0.50, step=30))
    assert [version.tags["step"] for version in versions(database)] == ["20", "30"]
    client = MlflowClient(tracking_uri=database)
    assert client.get_model_version_by_alias(NAME, "best").tags["step"] == "30"


@pytest.mark.parametrize(
    ("first", "second", "moves"),
    [
        ((0.5, "rendered"), (0.6, "rendered"), True),
        ((0.5, "rendered"), (0.5, "rendered"), False),
        ((0.5, "rendered"), (0.4, "rendered"), False),
        ((0.5, "rendered"), (0.4, "official"), True),
        ((0.4, "official"), (0.5, "rendered"), False),
        ((0.5, "rendered"), (None, "rendered"), False),
        ((None, "rendered"), (0.1, "rendered"), True),
    ],
)
def test_the_alias_moves_to_the_better_model_on_validation(
    first: tuple[float | None, str],
    second: tuple[float | None, str],
    moves: bool,
    database: str,
    folder: Path,
) -> None:
    deliver = sweep(database, "00001", "00002")
    deliver(model_of("00001", folder, *first))
    before = best(database)
    deliver(model_of("00002", folder, *second))
    assert (best(database) != before) == moves
    assert len(versions(database)) == 2


def test_a_registry_that_refuses_costs_no_more_than_the_model(
    database: str, folder: Path, tmp_path: Path
) -> None:
    # The name belongs to a prompt already: MLflow takes no model of it.
    MlflowClient(tracking_uri=database).register_prompt(NAME, "hello")
    open_experiment(database, VARIANT, "one")
    (tmp_path / "outbox").mkdir()
    writer = DeliveryWorker(Outbox(tmp_path / "outbox"), RunClient(database, VARIANT, "one"))
    end = Entry(key="00001", kind="end", at=3000, status="FINISHED")
    for entry in (begin(PARENT), begin("00001"), model_of("00001", folder, 0.5), end):
        writer.submit(entry)
    writer.close()
    assert writer.undelivered == 0
    assert len(writer.failures) == 1
    assert "The model is not registered" in writer.failures[0]
    _, (run,) = runs_of(database, VARIANT, "one")
    assert run.info.status == "FINISHED"
    assert "The model is not registered: " in run.data.tags["mlflow.note.content"]


def test_a_registry_that_fails_for_a_moment_costs_no_model(
    database: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver = sweep(database, "00001", "00002")
    up = False

    def passing(*_: object) -> None:
        if not up:
            raise MlflowException("busy")

    def refusal(entry: Entry) -> MlflowException:
        with pytest.raises(MlflowException) as caught:
            deliver(entry)
        return caught.value

    monkeypatch.setattr("sweeps.tracking.client.publish", passing)
    model = model_of("00001", folder, 0.5)
    assert may_work_later(refusal(model))
    assert may_work_later(refusal(model))
    up = True
    deliver(model)
    # The next model has all of its tries; then it is refused.
    up = False
    refusals = [refusal(model_of("00002", folder, 0.5)) for _ in range(3)]
    assert [may_work_later(each) for each in refusals] == [True, True, False]
    assert "The model is not registered: busy" in str(refusals[-1])


@pytest.mark.slow
def test_a_server_that_was_away_has_the_model_once_it_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = untrained(VARIANT, tmp_path / "checkpoint.pt")
    save_served(checkpoint, np.zeros((1, 64, 64), np.float32), tmp_path / "served")
    (tmp_path / "sweep").mkdir()
    entry = model_of("00001", tmp_path / "served", 0.5)
    with Server(tmp_path) as server:
        deliver = sweep(server.uri, "00001")
        server.kill()
        writer = DeliveryWorker(Outbox(tmp_path / "sweep"), deliver, pause=0.01)
        writer.submit(entry)
        writer.close(grace=0.1)
        assert (writer.undelivered, writer.failures) == (1, [])
        server.start()
        again = DeliveryWorker(Outbox(tmp_path / "sweep"), RunClient(server.uri, VARIANT, "one"))
        again.close()
        assert (again.undelivered, again.failures) == (0, [])
        assert len(versions(server.uri)) == 1
        found = find_checkpoint(f"models:/{NAME}@best", server.uri, tmp_path / "fetched")
        assert load(found).variant.name == VARIANT


def test_a_model_that_was_stored_in_part_is_completed(database: str, folder: Path) -> None:
    deliver = sweep(database, "00001")
    entry = model_of("00001", folder, 0.5)
    with pytest.raises((MlflowException, OSError)):
        # A crash, or a full disk, between the model's making and its files.
        deliver(entry.model_copy(update={"file": str(folder / "nothing")}))
    assert versions(database) == []
    deliver(entry)
    (version,) = versions(database)
    _, (run,) = runs_of(database, VARIANT, "one")
    assert models(database, run) == [version.tags["model_id"]]
