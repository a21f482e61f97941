"""A sweep on several machines: their loss, and faults that would stay unnoticed."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from pyarrow.fs import FileSelector

from sweeps.cluster.locks import is_running
from sweeps.cluster.storage import Storage
from sweeps.tracking.outbox import PARENT, Entry
from tests.patience import PATIENCE
from tests.sweeps.support.faulty import (
    VARIANT,
    call_of,
    check_invariants,
    flags,
    record_of,
    rows,
    started,
    study_of,
    wait_for,
)
from tests.sweeps.support.finished import command, runs_of
from tests.sweeps.support.held import hold, release
from tests.sweeps.support.machines import HEAD, OTHER, Machines
from tests.sweeps.support.server import Server
from tests.sweeps.support.services import KEYS, PASSWORD, Postgres, object_store

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[3]


def wait_for_record(studies: str, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Wait until a study has a wanted record of a trial, and return it."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        with contextlib.suppress(KeyError), study_of(studies) as study:
            known = study.user_attrs
            records = [dict(known[name]) for name in known if name.startswith("trial ")]
            if found := [record for record in records if wanted(record)]:
                return found[0]
        time.sleep(0.5)
    raise AssertionError("no record is as wanted")


@pytest.fixture
def machines(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Machines]:
    """A cluster that sweeps join through RAY_ADDRESS, as on the head of `ray up`."""
    # Otherwise a head asks for the token that an earlier sweep left on this machine.
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    with Machines(tmp_path_factory.mktemp("ray")) as nodes:
        monkeypatch.setenv("RAY_ADDRESS", nodes.address)
        yield nodes


def test_a_late_machine_gets_trials_which_move_when_it_dies(
    machines: Machines, cache: Path, database: str, tmp_path: Path
) -> None:
    machines.start_head()
    hold(tmp_path, 60)
    with started(tmp_path, *flags(trials=2)) as process:
        wait_for(tmp_path, "00000", reports=1)
        machines.start_other()
        # The first trial, which cannot end, occupies the head: the second is on the other machine.
        wait_for(tmp_path, "00001", reports=1)
        machines.kill(OTHER)
        release(tmp_path)
        assert process.wait(timeout=PATIENCE) == 0, (tmp_path / "output.txt").read_text()
    runs = check_invariants(tmp_path, trials=2)
    assert {run.data.tags["outcome"] for run in runs} <= {"complete", "pruned"}


@pytest.mark.needs_root
@pytest.mark.needs_command("unshare", "util-linux")
def test_machines_that_cannot_run_trials_are_named_before_the_first_trial(
    machines: Machines, cache: Path, database: str, tmp_path: Path
) -> None:
    storage = tmp_path / "runs"
    storage.mkdir()
    machines.start_head("--num-gpus=1")
    machines.start_other(storage, "--num-gpus=1")
    # Together they have two GPUs, and Ray would wait for one machine that has both.
    for more, reason in {
        "--gpus-per-trial=2": "gpus_per_trial: 2 is not allowed: no machine has more than 1",
        "--gpus-per-trial=0": f"storage: node {OTHER} does not reach {storage}",
    }.items():
        call = command("--name", "faulty", more)
        done = subprocess.run(
            call, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        assert done.returncode == 2, done.stdout + done.stderr
        assert f"error: {reason}" in done.stderr
        assert "Traceback" not in done.stderr
    # Tune has not started any trial.
    assert list((storage / "faulty").glob("search-*")) == []


def test_four_trials_share_a_gpu(machines: Machines, tmp_path: Path) -> None:
    # Ray assigns the GPU that the flag declares; no real one is needed.
    machines.start_head("--num-cpus=4", "--num-gpus=1")
    call = [sys.executable, "-m", "tests.sweeps.support.packing", str(tmp_path)]
    done = subprocess.run(
        call, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == (
        "Allotment(cpus=1.0, gpus=0.25, concurrent=4) " + str(["complete"] * 4)
    )


@pytest.mark.needs_command("initdb", "postgresql")
def test_a_new_head_resumes_the_sweep_of_a_dead_one(
    machines: Machines, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    new.mkdir()
    with (
        Postgres() as databases,
        object_store(tmp_path) as storage,
        Server(tmp_path, databases.address) as server,
    ):
        studies, tracking = databases.add("studies"), server.uri
        monkeypatch.setenv("WEAKDIS_OPTUNA_STORAGE", studies)
        monkeypatch.setenv("WEAKDIS_STORAGE", storage)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking)
        machines.start_head()
        hold(old, 40, "00001")
        with started(old, *flags(trials=2)) as process:
            wait_for_record(studies, lambda record: record["step"] > 0)
            # Another head, without the sweep's folder, finds the lock in the database.
            assert is_running(new / "runs/faulty", studies)
            ended = wait_for_record(studies, lambda each: each["outcome"] == "complete")
            machines.kill(HEAD)
            os.kill(process.pid, signal.SIGKILL)
        (old / "runs").rename(tmp_path / "lost")
        # As if the head had died before MLflow received the end of a trial.
        client = MlflowClient(tracking_uri=tracking)
        _, children = runs_of(tracking, VARIANT, "faulty")
        (run,) = [each for each in children if each.data.tags["trial_id"] == ended["trial_id"]]
        client.update_run(run.info.run_id, status="RUNNING")
        machines.start_head()
        known = record_of(studies, ended["trial_id"])
        call = call_of("--resume", "faulty", "--confirm-seeds", "1")
        done = subprocess.run(
            call, cwd=new, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        # Ends come first: for a later session the sweep would not have moved.
        lines = (new / "runs/faulty/mlflow.jsonl").read_text().splitlines()
        sent = [(entry.key, entry.kind) for entry in map(Entry.model_validate_json, lines)]
        begun = [key for key, kind in sent if kind == "begin" and key != PARENT]
        assert sent.index((ended["trial_id"], "end")) < sent.index((begun[0], "begin"))
        check_invariants(new, trials=2, uri=tracking, studies=studies)
        check_no_password(done.stdout + done.stderr, tmp_path, storage)
        parent, children = runs_of(tracking, VARIANT, "faulty")
        assert PASSWORD not in repr([run.to_dictionary() for run in (parent, *children)])
        assert PASSWORD not in databases.dump(databases.address) + databases.dump(studies)
        # No file of MLflow was on a head.
        assert not list(tmp_path.rglob("mlruns"))
        assert {row["outcome"] for row in rows(new)} <= {"complete", "pruned"}
        # The ended trial has not changed.
        assert record_of(studies, ended["trial_id"]) == known
        # A name in use is refused on another head too.
        call = command(*flags())
        done = subprocess.run(call, cwd=old, capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert "error: name: there is a sweep 'faulty' already" in done.stderr


def check_no_password(output: str, place: Path, storage: str) -> None:
    """Check that the databases' password is neither in the output nor in any file."""
    assert PASSWORD not in output
    for file in place.rglob("*"):
        assert not file.is_file() or PASSWORD.encode() not in file.read_bytes(), file
    system, folder = Storage(storage).opened()
    objects = [each.path for each in system.get_file_info(FileSelector(folder, recursive=True))
               if each.is_file]  # fmt: skip
    assert any(each.endswith("checkpoint.pt") for each in objects)
    for each in objects:
        with system.open_input_stream(each) as content:
            assert PASSWORD.encode() not in content.read(), each
