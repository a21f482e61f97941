"""Real kills and outages in the middle of a sweep: finished trials are kept, others continue."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from tests.sweeps.support.faulty import (
    VARIANT,
    call_of,
    check_invariants,
    flags,
    last_checkpoint,
    own_studies,
    record_of,
    reported,
    resume,
    started,
    wait_for,
    workers,
)
from tests.sweeps.support.finished import interrupted, runs_of
from tests.sweeps.support.held import hold, release

pytestmark = pytest.mark.slow


def test_trials_continue_after_kills_and_interruptions(
    cache: Path, database: str, tmp_path: Path
) -> None:
    steps, evaluations = 500, 25
    first = tmp_path / "runs/faulty/search-1"
    hold(tmp_path, 80)
    with started(tmp_path, *flags(steps=steps, evaluations=evaluations)) as process:
        wait_for(tmp_path, reports=0)
        # While it runs, no other program may run it.
        call = call_of("--resume", "faulty")
        with subprocess.Popen(call, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as second:
            for trial in ("00000", "00001"):
                wait_for(tmp_path, trial, reports=3)
            # A process that trains: its trial continues in another process.
            training = max(workers(process), key=lambda each: float(sum(each.cpu_times()[:2])))
            training.kill()
            hold(tmp_path, 160)
            for trial in ("00000", "00001"):
                wait_for(tmp_path, trial, reports=5)
            _, errors = second.communicate()
        assert second.returncode == 2
        assert "error: name: the sweep 'faulty' is running already" in errors
        os.kill(process.pid, signal.SIGKILL)
    # Truncate the last checkpoint of a trial that ran.
    last = record_of(own_studies(tmp_path), "00000")["checkpoints"][-1]
    truncated = tmp_path / "runs" / last / "checkpoint.pt"
    truncated.write_bytes(truncated.read_bytes()[: truncated.stat().st_size // 2])
    interrupt_twice(tmp_path, database)
    release(tmp_path)
    # Damage all checkpoints of the second trial.
    for file in tmp_path.glob("runs/faulty/search-*/00001/checkpoint_*/checkpoint.pt"):
        file.write_bytes(b"")
    resume(tmp_path)
    one, two, three = check_invariants(tmp_path)
    assert {run.data.tags["outcome"] for run in (one, three)} <= {"complete", "pruned"}
    assert (two.info.status, two.data.tags["outcome"]) == ("FAILED", "failed")
    assert two.data.tags["reason"].startswith("no checkpoint can be read: ")
    # Each process continued from the last checkpoint, or from the one before if that was truncated.
    # Each of the four ends cost at most the one report that was not stored yet.
    sessions = [first.with_name(f"search-{number}") for number in (1, 2, 3, 4)]
    reports = sum(last_checkpoint(session, "00000") + 1 for session in sessions)
    assert reports <= evaluations + 4 + 1
    note = one.data.tags["note"]
    assert re.match(rf"went on from step \d+: {truncated}: truncated", note)
    last = record_of(own_studies(tmp_path), "00000")["step"]
    assert reported(database, one) == list(range(20, last + 1, 20))


def interrupt_twice(place: Path, database: str) -> None:
    """Resume and interrupt a sweep that was killed, twice."""
    # SIGTERM, as `timeout` sends it, reaches Ray's processes too and kills them. SIGUSR1, which
    # SLURM sends, is a signal that Tune would take for an orderly end.
    for session, number in enumerate((signal.SIGTERM, signal.SIGUSR1), start=2):
        hold(place, 80 * (session + 1))
        reports = f"runs/faulty/search-{session}/00000/checkpoint_00000[2-9]"
        code, output = interrupted(call_of("--resume", "faulty"), place, reports, number)
        assert code == 128 + number, output
        assert "Traceback" not in output
        assert "--resume faulty" in output
        parent, children = runs_of(database, VARIANT, "faulty")
        assert parent.info.status == "KILLED"
        assert "KILLED" in {run.info.status for run in children}
        assert "RUNNING" not in {run.info.status for run in children}
