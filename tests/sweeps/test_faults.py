"""What dies in the middle of a sweep, really killed: nothing finished is lost, all else goes on."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.sweeps.faulty import (
    VARIANT,
    call_of,
    check_invariants,
    flags,
    last_checkpoint,
    own_studies,
    reported,
    resume,
    rows,
    started,
    study_of,
    wait_for,
    workers,
)
from tests.sweeps.finished import SCRIPT, command, interrupted, runs_of
from tests.sweeps.server import Server

pytestmark = pytest.mark.slow
OUTAGE = 40.0


def test_killed_processes_go_on_where_they_were(cache: Path, database: str, tmp_path: Path) -> None:
    steps, evaluations = 400, 20
    first = tmp_path / "runs/faulty/search-1"
    with started(tmp_path, *flags(steps=steps, evaluations=evaluations)) as process:
        wait_for(tmp_path, reports=0)
        # While it runs nobody else may touch it.
        call = [command()[0], str(SCRIPT), "--resume", "faulty"]
        with subprocess.Popen(call, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as second:
            for trial in ("00001", "00002"):
                wait_for(tmp_path, trial, reports=3)
            # A process that trains: its trial goes on in another one.
            training = max(workers(process), key=lambda each: float(sum(each.cpu_times()[:2])))
            training.kill()
            for trial in ("00001", "00002"):
                more = last_checkpoint(first, trial) + 2
                wait_for(tmp_path, trial, reports=min(more, evaluations - 1))
            _, errors = second.communicate()
        assert second.returncode == 2
        assert "error: name: the sweep 'faulty' is running already" in errors
        os.kill(process.pid, signal.SIGKILL)
    # The last checkpoint of one that ran is cut off.
    with study_of(own_studies(tmp_path)) as study:
        records = [known for name, known in study.user_attrs.items() if name.startswith("trial ")]
    running = (each for each in records if each["outcome"] == "running")
    cut = next(each for each in running if len(each["checkpoints"]) > 1)
    truncated = Path(cut["checkpoints"][-1]) / "checkpoint.pt"
    truncated.write_bytes(truncated.read_bytes()[: truncated.stat().st_size // 2])
    resume(tmp_path)
    runs = {run.data.tags["trial_id"]: run for run in check_invariants(tmp_path)}
    assert all(run.data.tags["outcome"] in ("complete", "pruned") for run in runs.values())
    # What ran went on from its last checkpoint, in the first session as in the second; what was cut
    # off from the one before.
    for trial in runs:
        sessions = (first, first.with_name("search-2"))
        reports = sum(last_checkpoint(session, trial) + 1 for session in sessions)
        assert reports <= evaluations + 2 + (trial == cut["trial_id"])
    note = runs[cut["trial_id"]].data.tags["note"]
    assert re.match(rf"went on from step \d+: {truncated}: truncated", note)

    # What has ended can be extended; what is there stays as it is.
    ended = rows(tmp_path)
    resume(tmp_path, "--trials", "4")
    assert rows(tmp_path)[:3] == ended
    check_invariants(tmp_path, trials=4)


def test_an_interrupted_sweep_can_be_resumed(cache: Path, database: str, tmp_path: Path) -> None:
    # Ctrl-C in a terminal reaches Ray's processes too, which ignore it; SIGTERM, as `timeout` sends
    # it, kills them.
    calls = {signal.SIGINT: flags(trials=2), signal.SIGTERM: ["--resume", "faulty"]}
    for session, (number, call) in enumerate(calls.items(), start=1):
        reports = f"runs/faulty/search-{session}/00001/checkpoint_00000[2-9]"
        code, output = interrupted(call_of(*call), tmp_path, reports, number)
        assert code == 128 + number, output
        assert "Traceback" not in output
        assert "--resume faulty" in output
        parent, children = runs_of(database, VARIANT, "faulty")
        assert parent.info.status == "KILLED"
        assert "KILLED" in {run.info.status for run in children}
        assert "RUNNING" not in {run.info.status for run in children}
        # Of the second trial no checkpoint can be read any more.
        for file in tmp_path.glob("runs/faulty/search-*/00002/checkpoint_*/checkpoint.pt"):
            file.write_bytes(b"")
    resume(tmp_path)
    first_run, second_run = check_invariants(tmp_path, trials=2)
    assert first_run.info.status == "FINISHED"
    assert second_run.info.status == "FAILED"
    assert second_run.data.tags["reason"].startswith("no checkpoint can be read: ")


def test_mlflow_may_be_down_for_a_while_and_for_good(cache: Path, tmp_path: Path) -> None:
    steps, evaluations = 3000, 50
    long = flags(trials=2, steps=steps, evaluations=evaluations)
    session = tmp_path / "runs/faulty/search-1"
    with Server(tmp_path) as server:
        with started(tmp_path, *long, "--tracking-uri", server.uri) as process:
            wait_for(tmp_path, reports=2)
            server.kill()
            down = time.monotonic()
            # Training goes on meanwhile.
            wait_for(tmp_path, reports=last_checkpoint(session, "*") + 5)
            assert process.poll() is None
            time.sleep(max(0.0, OUTAGE - (time.monotonic() - down)))
            told = delivered(tmp_path)
            server.start()
            while delivered(tmp_path) < told + 5:
                assert process.poll() is None
                time.sleep(0.1)
            # And now it stays away.
            server.kill()
            assert process.wait(timeout=400) == 0, (tmp_path / "output.txt").read_text()
        output = (tmp_path / "output.txt").read_text()
        assert "MLflow does not answer" in output
        assert "--resume faulty" in output
        assert "best: trial" in output
        server.start()
        resume(tmp_path)
        runs = check_invariants(tmp_path, trials=2, uri=server.database)
    for run, row in zip(runs, rows(tmp_path), strict=True):
        each = steps // evaluations
        assert reported(server.database, run) == list(range(each, int(row["step"]) + 1, each))


def delivered(place: Path) -> int:
    """How much MLflow has been told."""
    return int((place / "runs/faulty/mlflow.delivered").read_text())
