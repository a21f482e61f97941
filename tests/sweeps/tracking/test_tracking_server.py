"""The tracking server of a lab: light, and for several writers."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest
import requests
from mlflow import MlflowClient
from mlflow.entities import Metric

from tests.patience import PATIENCE
from tests.sweeps.support.server import Server

pytestmark = pytest.mark.slow
WRITERS, POINTS = 8, 40


def test_make_tracking_starts_a_light_server_for_a_host_name(tmp_path: Path) -> None:
    with Server(tmp_path, None, "ALLOWED_HOSTS=lab.example.org") as server:
        assert server.process is not None
        family = psutil.Process(server.process.pid).children(recursive=True)
        # The server and its worker, beside the shell; MLflow's own default is ten.
        python = [each for each in family if "python" in each.name() or "mlflow" in each.name()]
        assert len(python) <= 3
        for host, code in (("lab.example.org", 200), ("evil.example.org", 403)):
            answer = requests.get(
                f"{server.uri}/api/2.0/mlflow/experiments/search",
                params={"max_results": 1},
                headers={"Host": host},
                timeout=PATIENCE,
            )
            assert answer.status_code == code


def write(uri: str, run: str, first: int) -> None:
    client = MlflowClient(tracking_uri=uri)
    for step in range(first, first + POINTS):
        client.log_batch(run, metrics=[Metric("loss", float(step), step, step)])


def test_eight_writers_lose_no_point_in_one_sqlite_file(database: str) -> None:
    client = MlflowClient(tracking_uri=database)
    experiment = client.create_experiment("writers")
    runs = [client.create_run(experiment).info.run_id for _ in range(WRITERS)]
    # One run of their own and one that all of them write.
    shared = client.create_run(experiment).info.run_id
    with ProcessPoolExecutor(WRITERS, mp_context=get_context("spawn")) as pool:
        jobs = [pool.submit(write, database, run, 0) for run in runs]
        jobs += [pool.submit(write, database, shared, i * POINTS) for i in range(WRITERS)]
        for job in jobs:
            job.result()
    for run in runs:
        assert steps(client, run) == list(range(POINTS))
    assert steps(client, shared) == list(range(WRITERS * POINTS))


def steps(client: MlflowClient, run: str) -> list[int]:
    return sorted(point.step for point in client.get_metric_history(run, "loss"))
