"""MLflow goes away in the middle of a sweep, for a while and for good: training continues."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.patience import PATIENCE
from tests.sweeps.support.faulty import (
    check_invariants,
    flags,
    reported,
    resume,
    rows,
    started,
    wait_for,
)
from tests.sweeps.support.held import hold, release
from tests.sweeps.support.server import Server

pytestmark = pytest.mark.slow
OUTAGE = 20.0


def test_mlflow_may_be_down_for_a_while_or_stay_down(cache: Path, tmp_path: Path) -> None:
    steps, evaluations = 600, 30
    long = flags(trials=2, steps=steps, evaluations=evaluations)
    with Server(tmp_path) as server:
        hold(tmp_path, 80)
        with started(tmp_path, *long, "--tracking-uri", server.uri) as process:
            wait_for(tmp_path, reports=3)
            server.kill()
            down = time.monotonic()
            # Training continues meanwhile.
            hold(tmp_path, 260)
            wait_for(tmp_path, reports=12)
            assert process.poll() is None
            time.sleep(max(0.0, OUTAGE - (time.monotonic() - down)))
            before = delivered(tmp_path)
            server.start()
            while delivered(tmp_path) < before + 5:
                assert process.poll() is None
                time.sleep(0.1)
            # And now it stays away.
            server.kill()
            release(tmp_path)
            assert process.wait(timeout=PATIENCE) == 0, (tmp_path / "output.txt").read_text()
        output = (tmp_path / "output.txt").read_text()
        assert "MLflow does not answer" in output
        assert "--resume faulty" in output
        assert "best: trial" in output
        server.start()
        ended = rows(tmp_path)
        resume(tmp_path)
        # Ended trials have not changed.
        assert rows(tmp_path) == ended
        runs = check_invariants(tmp_path, trials=2, uri=server.database)
    for run, row in zip(runs, rows(tmp_path), strict=True):
        each = steps // evaluations
        assert reported(server.database, run) == list(range(each, int(row["step"]) + 1, each))


def delivered(place: Path) -> int:
    """Return the number of entries that MLflow has received."""
    return int((place / "runs/faulty/mlflow.delivered").read_text())
