"""A sweep on several machines: what dies there, and what would go wrong in silence."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sweeps.faulty import (
    check_invariants,
    flags,
    last_checkpoint,
    rows,
    started,
    study_of,
    wait_for,
)
from tests.sweeps.finished import SCRIPT, command
from tests.sweeps.machines import HEAD, OTHER, Machines
from tests.sweeps.server import Server
from tests.sweeps.services import KEYS, object_store, postgres

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]


def wait_for_step(studies: str, step: int) -> None:
    """Wait until a trial of a study has been trained so far."""
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        with contextlib.suppress(KeyError), study_of(studies) as study:
            known = study.user_attrs
            records = [known[name] for name in known if name.startswith("trial ")]
            if any(record["step"] >= step for record in records):
                return
        time.sleep(0.5)
    raise AssertionError("no trial got so far")


@pytest.fixture
def machines(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Machines]:
    """A cluster that sweeps join by the environment, as on the head of `ray up`."""
    # Where an earlier sweep on this machine made a token, the head would ask the others for it.
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    with Machines(tmp_path_factory.mktemp("ray")) as nodes:
        monkeypatch.setenv("RAY_ADDRESS", nodes.address)
        yield nodes


def test_trials_of_a_machine_that_dies_move(
    machines: Machines, cache: Path, database: str, tmp_path: Path
) -> None:
    machines.start_head()
    machines.start_other()
    with started(tmp_path, *flags(steps=600, evaluations=20)) as process:
        for trial in ("00001", "00002"):
            wait_for(tmp_path, trial, reports=2)
        # Neither has ended: each has a machine of its own.
        session = tmp_path / "runs/faulty/search-1"
        assert max(last_checkpoint(session, trial) for trial in ("00001", "00002")) < 19
        machines.kill(OTHER)
        assert process.wait(timeout=240) == 0, (tmp_path / "output.txt").read_text()
    runs = check_invariants(tmp_path)
    assert {run.data.tags["outcome"] for run in runs} <= {"complete", "pruned"}


@pytest.mark.needs_root
@pytest.mark.needs_command("unshare", "util-linux")
def test_a_machine_that_does_not_share_the_storage_is_refused(
    machines: Machines, cache: Path, database: str, tmp_path: Path
) -> None:
    storage = tmp_path / "runs"
    storage.mkdir()
    machines.start_head()
    machines.start_other(hidden=storage)
    done = subprocess.run(
        command(*flags()), cwd=tmp_path, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 2, done.stdout + done.stderr
    assert f"error: storage: node {OTHER} does not reach {storage}" in done.stderr
    assert "Traceback" not in done.stderr
    # Not a single trial was started.
    assert last_checkpoint(storage / "faulty", "*/*") == -1


def test_four_trials_share_a_gpu(machines: Machines, tmp_path: Path) -> None:
    # Ray hands out a GPU that it is told of: who gets it when is what is tested.
    machines.start_head("--num-cpus=4", "--num-gpus=1")
    call = [sys.executable, "-m", "tests.sweeps.packing", str(tmp_path)]
    done = subprocess.run(call, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == (
        "Allotment(cpus=1.0, gpus=0.25, concurrent=4) " + str(["complete"] * 4)
    )


@pytest.mark.needs_command("initdb", "postgresql")
def test_a_new_head_goes_on_with_the_sweep_of_a_dead_one(
    machines: Machines, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    new.mkdir()
    with postgres() as studies, object_store(tmp_path) as storage, Server(tmp_path) as server:
        monkeypatch.setenv("WEAKDIS_OPTUNA_STORAGE", studies)
        monkeypatch.setenv("WEAKDIS_STORAGE", storage)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
        machines.start_head()
        with started(old) as process:
            wait_for_step(studies, 100)
            machines.kill(HEAD)
            os.kill(process.pid, signal.SIGKILL)
        (old / "runs").rename(tmp_path / "lost")
        machines.start_head()
        call = [sys.executable, str(SCRIPT), "--resume", "faulty"]
        done = subprocess.run(
            call, cwd=new, capture_output=True, text=True, timeout=240, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        check_invariants(new, uri=server.database, studies=studies)
        assert {row["outcome"] for row in rows(new)} <= {"complete", "pruned"}
        # Somebody else's name is not taken over.
        call = command(*flags())
        done = subprocess.run(call, cwd=old, capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert "error: name: there is a sweep 'faulty' already" in done.stderr
