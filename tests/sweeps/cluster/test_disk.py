"""A full or read-only disk: the error is clear, and no trial is lost."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.patience import PATIENCE
from tests.sweeps.support.faulty import check_invariants, flags, resume, rows, started, wait_for
from tests.sweeps.support.finished import command
from tests.sweeps.support.held import hold, release

pytestmark = [pytest.mark.slow, pytest.mark.needs_root]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk for the results of a sweep in `tmp_path`."""
    place = tmp_path / "runs"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "none", place], check=True)
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


def test_a_full_disk_stops_the_sweep_and_costs_no_trial(
    cache: Path, database: str, disk: Path, tmp_path: Path
) -> None:
    filler = disk / "filler"
    hold(tmp_path, 60, "00002")
    with started(tmp_path) as process:
        # One of the first two has ended, the other one has ended or is about to.
        wait_for(tmp_path, "00002", reports=1)
        fill(filler)
        release(tmp_path)
        assert process.wait(timeout=PATIENCE) == 2
    output = (tmp_path / "output.txt").read_text()
    assert f"error: storage: {disk}" in output
    assert (
        "cannot be written any more (No space left on device" in output or "disk is full" in output
    )
    assert "Traceback" not in output
    filler.unlink()
    resume(tmp_path)
    check_invariants(tmp_path)
    assert {row["outcome"] for row in rows(tmp_path)} <= {"complete", "pruned"}


def test_a_read_only_disk_is_refused(
    cache: Path, database: str, disk: Path, tmp_path: Path
) -> None:
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    done = subprocess.run(
        command(*flags()),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: storage: {disk} cannot be written (Read-only file")
    assert len(done.stderr.splitlines()) == 1


def fill(file: Path) -> None:
    """Fill the disk of a file."""
    with file.open("wb", buffering=0) as content:
        try:
            while True:
                content.write(bytes(2**12))
        except OSError:
            pass
