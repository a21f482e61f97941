"""Fixtures of the sweep tests: a cache, a database, Ray, and one real sweep for many tests."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock

from tests.patience import PATIENCE
from tests.shared import shared_folder
from tests.sweeps.support.finished import Finished, command, of_stage, runs_of

VARIANT = "dsprites_v2"


@pytest.fixture(scope="session")
def cache(small_cache: Path) -> Iterator[Path]:
    """Folder of prepared images and oracles, for this process and those that it starts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WEAKDIS_CACHE", str(small_cache))
        yield small_cache


@pytest.fixture
def database(empty_database: Path, tmp_path: Path) -> str:
    """Address of a fresh MLflow database."""
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    return f"sqlite:///{tmp_path / 'mlflow.db'}"


@pytest.fixture(scope="session")
def finished(
    cache: Path, empty_database: Path, tmp_path_factory: pytest.TempPathFactory
) -> Finished:
    """A small real sweep with its confirmation, run once by the command that users run."""
    place = shared_folder(tmp_path_factory, "sweep")
    output, errors = place / "output.txt", place / "errors.txt"
    with FileLock(place / ".lock"):
        if not output.exists():
            shutil.copy(empty_database, place / "mlflow.db")
            flags = ["--name", "small", "--trials", "3", "--max-steps", "30"]
            done = subprocess.run(
                command(*flags, "--confirm-seeds", "2"), cwd=place, capture_output=True, text=True,
                timeout=PATIENCE, check=False,
            )  # fmt: skip
            assert done.returncode == 0, done.stdout + done.stderr
            errors.write_text(done.stderr)
            output.write_text(done.stdout)
    uri = f"sqlite:///{place / 'mlflow.db'}"
    parent, children = runs_of(uri, VARIANT, "small")
    trials, confirmed = of_stage(children, "search"), of_stage(children, "confirm")
    folder = place / "runs" / "small"
    return Finished(folder, uri, output.read_text(), errors.read_text(), parent, trials, confirmed)


@pytest.fixture(scope="session")
def resources() -> Iterator[dict[str, float]]:
    """Ray on this machine, for tests that run scripted trials."""
    from sweeps.cluster.ray_cluster import cluster

    with cluster() as available:
        yield available


def pytest_configure() -> None:
    """Set the width of the console for workers and subprocesses."""
    os.environ["COLUMNS"] = "120"
    assert sys.version_info >= (3, 11)
