"""The thread that talks to MLflow: order, repetition, failure."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest
from mlflow import MlflowClient

from sweeps.experiments import open_experiment
from sweeps.writer import Writer
from weakdis_core.errors import UserError


def _append(made: list[int], number: int, client: MlflowClient) -> None:
    made.append(number)


def test_calls_are_made_in_order(database: str) -> None:
    writer = Writer(database)
    made: list[int] = []
    for number in range(50):
        writer.submit(functools.partial(_append, made, number))
    writer.close()
    assert made == list(range(50))
    assert not writer.failures


def test_a_call_that_fails_is_made_again_before_the_next(database: str) -> None:
    writer = Writer(database, pause=0.01)
    made: list[str] = []

    def shaky(client: MlflowClient) -> None:
        made.append("try")
        if len(made) < 3:
            raise ConnectionError("not yet")

    writer.submit(shaky)
    writer.submit(lambda client: made.append("next"))
    writer.close()
    assert made == ["try", "try", "try", "next"]
    assert not writer.failures


def test_a_call_that_never_works_is_noted(database: str, caplog: pytest.LogCaptureFixture) -> None:
    writer = Writer(database, pause=0.01)

    def broken(client: MlflowClient) -> None:
        raise ConnectionError("gone")

    made: list[str] = []
    writer.submit(broken)
    writer.submit(lambda client: made.append("next"))
    writer.close()
    assert writer.failures == ["ConnectionError: gone"]
    assert made == ["next"]
    assert "gone" in caplog.text


def test_an_answer_or_its_error_comes_back(database: str) -> None:
    writer = Writer(database)
    assert writer.ask(lambda client: 7).result() == 7
    with pytest.raises(ZeroDivisionError):
        writer.ask(lambda client: 1 / 0).result()
    writer.close()


def test_a_database_that_cannot_be_opened_does_not_hang() -> None:
    writer = Writer("sqlite:////dev/null/mlflow.db", pause=0.01)
    with pytest.raises(Exception, match=r"unable to open|Not a directory|exists"):
        writer.ask(lambda client: client.search_experiments()).result(timeout=60)
    writer.close()


def test_an_experiment_is_made_once_with_artifacts_beside_the_database(
    database: str, tmp_path: Path
) -> None:
    client = MlflowClient(tracking_uri=database)
    first = open_experiment(client, database, "dsprites_v2", "one")
    assert open_experiment(client, database, "dsprites_v2", "one") == first
    place = client.get_experiment(first).artifact_location
    assert place == (tmp_path / "mlruns" / "dsprites_v2").as_uri()


def test_a_sweep_is_not_tracked_twice(database: str) -> None:
    client = MlflowClient(tracking_uri=database)
    experiment = open_experiment(client, database, "dsprites_v2", "one")
    client.create_run(experiment, tags={"kind": "sweep", "sweep": "one"})
    with pytest.raises(UserError, match="name: MLflow has a sweep 'one' of dsprites_v2 already"):
        open_experiment(client, database, "dsprites_v2", "one")
    open_experiment(client, database, "dsprites_v2", "two")
