"""Fixtures of the analysis tests."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.analysis.tracked import Store
from tests.shared import shared_folder


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Cache of measured ceilings, shared with the tests of sweeps."""
    folder = shared_folder(tmp_path_factory, "cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WEAKDIS_CACHE", str(folder))
        yield folder


@pytest.fixture
def store(empty_database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """An empty store in the current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    path = tmp_path / "mlflow.db"
    shutil.copy(empty_database, path)
    uri = f"sqlite:///{path}"
    return Store(path, uri, MlflowClient(tracking_uri=uri))
