"""What dies in the middle of a sweep, really killed: nothing finished is lost, all else goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.sweeps.faulty import (
    EVALUATIONS,
    STEPS,
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
    with started(tmp_path, *flags(steps=400, evaluations=EVALUATIONS)) as process:
        wait_for(tmp_path, reports=0)
        # While it runs nobody else may touch it.
        call = [command()[0], str(SCRIPT), "--resume", "faulty"]
        second = subprocess.run(call, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert second.returncode == 2
        assert "error: name: the sweep 'faulty' is running already" in second.stderr
        # A process that trains: its trial goes on in another one.
        training = max(workers(process), key=lambda each: float(sum(each.cpu_times()[:2])))
        training.kill()
        for trial in ("00001", "00002"):
            wait_for(tmp_path, trial, reports=4)
        os.kill(process.pid, signal.SIGKILL)
    resume(tmp_path)
    runs = check_invariants(tmp_path)
    # What ran went on from a checkpoint: the second session has reports of the rest only.
    first, second_ = (tmp_path / f"runs/faulty/search-{session}" for session in (1, 2))
    both = [each.name for each in first.glob("0*") if (second_ / each.name).exists()]
    assert both
    for number in both:
        reports = last_checkpoint(first, number) + 1 + last_checkpoint(second_, number) + 1
        assert reports <= EVALUATIONS + 2
    assert all(run.data.tags["outcome"] in ("complete", "pruned") for run in runs)

    # What has ended can be extended; what is there stays as it is.
    before = rows(tmp_path)
    resume(tmp_path, "--trials", "4")
    assert rows(tmp_path)[:3] == before
    check_invariants(tmp_path, trials=4)


def test_an_interrupted_sweep_can_be_resumed(cache: Path, database: str, tmp_path: Path) -> None:
    # Ctrl-C in a terminal reaches Ray's processes too, which ignore it; SIGTERM, as `timeout` sends
    # it, kills them.
    calls = {signal.SIGINT: flags(trials=2), signal.SIGTERM: ["--resume", "faulty"]}
    for session, (number, call) in enumerate(calls.items(), start=1):
        reports = f"runs/faulty/search-{session}/*/checkpoint_00000[3-9]"
        code, output = interrupted(call_of(*call), tmp_path, reports, number)
        assert code == 128 + number, output
        assert "Traceback" not in output
        assert "--resume faulty" in output
        parent, children = runs_of(database, VARIANT, "faulty")
        assert parent.info.status == "KILLED"
        assert "KILLED" in {run.info.status for run in children}
        assert "RUNNING" not in {run.info.status for run in children}
    resume(tmp_path)
    check_invariants(tmp_path, trials=2)


def test_a_broken_checkpoint_falls_back_to_the_one_before(
    cache: Path, database: str, tmp_path: Path
) -> None:
    with started(tmp_path, *flags(trials=2)) as process:
        for trial in ("00001", "00002"):
            wait_for(tmp_path, trial, reports=2)
        os.kill(process.pid, signal.SIGKILL)
    with study_of(own_studies(tmp_path)) as study:
        before, last = map(Path, study.user_attrs["trial 00001"]["checkpoints"])
    truncated = last / "checkpoint.pt"
    truncated.write_bytes(truncated.read_bytes()[: truncated.stat().st_size // 2])
    # Of the second trial none can be read any more.
    for file in last.parents[1].glob("00002/checkpoint_*/checkpoint.pt"):
        file.write_bytes(b"")
    resume(tmp_path)
    first, second = check_invariants(tmp_path, trials=2)
    assert first.info.status == "FINISHED"
    step = (int(before.name.rpartition("_")[2]) + 1) * STEPS // EVALUATIONS
    assert first.data.tags["note"].startswith(f"went on from step {step}: {truncated}")
    assert second.info.status == "FAILED"
    assert second.data.tags["reason"].startswith("no checkpoint can be read: ")


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
