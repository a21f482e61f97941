"""What all tests share: their order, and programs that may be missing."""

from __future__ import annotations

import functools
import itertools
import os
import shutil
from pathlib import Path

import pytest
from filelock import FileLock

from tests.shared import shared_folder

# Before anything imports MLflow, which would report its use over the network.
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
# Before anything imports NumPy or torch: the threads of several workers would wait for each other.
os.environ["OMP_NUM_THREADS"] = "1"
# On the head of a cluster they would lead tests to the user's own sweeps.
for _name in ("RAY_ADDRESS", "WEAKDIS_STORAGE", "WEAKDIS_OPTUNA_STORAGE", "MLFLOW_TRACKING_URI"):
    os.environ.pop(_name, None)

# They wait for machines and services that come and go: beside them others can compute.
_LONGEST = (
    "test_faults", "test_outages", "test_machines", "test_studies", "test_older", "test_train_cli",
    "test_disk", "test_output",
)  # fmt: skip


def pytest_configure(config: pytest.Config) -> None:
    """Hide the GPUs of this machine: a test means the same on all of them."""
    if config.option.markexpr != "gpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Run what is fast first: a plain mistake shows within seconds.

    Several workers (`make test`) take a file each, those first that take longest.
    """
    items.sort(key=lambda item: item.get_closest_marker("slow") is not None)
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: item.path.stem not in _LONGEST)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose program is missing; where CI=true nothing may be missing."""
    for marker in item.iter_markers("needs_command"):
        name, package = marker.args
        if program(name) is None:
            _missing(f"needs {name} (Debian package {package}; make system-deps installs it)")
    if item.get_closest_marker("gpu"):
        import torch

        if not torch.cuda.is_available():
            _missing("needs a GPU (make test-gpu; it is hidden from all other tests)")
    if item.get_closest_marker("needs_root") and os.geteuid() != 0:
        _missing("needs root, to mount file systems")


def program(name: str) -> str | None:
    """A program, also one that Debian keeps out of the path; None where there is none."""
    elsewhere = itertools.chain(
        Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), Path("/usr/sbin").glob(name)
    )
    return shutil.which(name) or next(map(str, elsewhere), None)


def _missing(reason: str) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def small_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images and oracles of a small dsprites_v2, made once for all workers.

    The oracles are trained briefly: a whole training takes a minute.
    """
    from tests.core.conftest import BRIEF, small_config
    from weakdis_core.data.prepared import prepare
    from weakdis_core.evaluation import oracle_cache
    from weakdis_core.evaluation.oracle import train_oracle

    place = shared_folder(tmp_path_factory, "cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WEAKDIS_CACHE", str(place))
        briefly = functools.partial(train_oracle, steps=BRIEF)
        patch.setattr(oracle_cache, "train_oracle", briefly)
        for seed in (0, 1, 2):
            data = small_config("dsprites_v2").with_values({"data.data_seed": seed}).data
            oracle_cache.prepare_oracle(prepare(data), data)
    return place


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's tables without runs: making them takes seconds, copying them nothing."""
    from mlflow import MlflowClient

    folder = shared_folder(tmp_path_factory, "mlflow")
    path = folder / "mlflow.db"
    with FileLock(folder / ".lock"):
        if not path.exists():
            made = folder / "partial.db"
            MlflowClient(tracking_uri=f"sqlite:///{made}").search_experiments()
            made.rename(path)
    return path
