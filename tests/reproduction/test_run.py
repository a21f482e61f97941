"""The whole way, by the command a user types: plan, Ray, rows, resumption."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from reproduction import cells
from reproduction.rows import Results, Score, Stored
from reproduction.work import train_cell
from tests.patience import PATIENCE
from tests.reproduction import small

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
TWO = ["models", "controls", "--variants", "dsprites_v2", "--seeds", "11"]
FIVE = ["models", "--variants", "dsprites_v2"]


def start(
    cache: Path,
    folder: Path,
    flags: list[str],
    changes: Mapping[str, Mapping[str, float]] | None = None,
) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.reproduction.small", *flags]
    command += ["--results", str(folder / "results")]
    environment = {
        **os.environ,
        "WEAKDIS_CACHE": str(cache),
        "PYTHONPATH": str(ROOT),
        small.CHANGES: json.dumps(changes or {}),
    }
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip


def finish(process: subprocess.Popen[str], code: int = 0) -> str:
    out, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == code, out
    return out


def stored(folder: Path) -> Stored:
    return Results(folder / "results").read()


def wait_for_rows(folder: Path, n: int) -> None:
    end = time.monotonic() + PATIENCE
    while len(stored(folder).runs) < n:
        assert time.monotonic() < end
        time.sleep(0.1)


def comparable(scores: dict[str, Score]) -> dict[str, tuple[str, int | None]]:
    return {name: (f"{value:.6g}", n) for name, (value, n) in scores.items()}


def test_from_nothing_to_rows_and_only_what_is_stale_again(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = finish(start(cache, tmp_path, [*TWO, "--plan"]))
    assert plan.split("all")[1].split()[:4] == ["2", "0", "2", "0"]
    assert not (tmp_path / "results").exists()

    first = finish(start(cache, tmp_path, TWO))
    assert "2 of 2: " in first
    rows = {run.name: run for run in stored(tmp_path).runs}
    assert set(rows) == {"dsprites_v2", "dsprites_v2, literal objective"}
    ours = rows["dsprites_v2"]
    assert (ours.seed, ours.source, ours.labels, ours.steps) == (11, "rendered", 60, 24)
    assert ours.cpu_seconds > 0
    scores = stored(tmp_path).scores[ours.run]
    assert scores["relation_accuracy_encoded"].n == 100
    assert 0 <= scores["relation_accuracy_pixels"].value <= 1
    assert scores["component_spread"].value > 0

    # The same cell in this process.
    monkeypatch.setattr(cells, "preset", small.small_preset)
    (cell,) = cells.ours("dsprites_v2", "rendered", [11])
    _, alone = train_cell(cell, "unknown")
    assert comparable(alone) == comparable(scores)

    again = finish(start(cache, tmp_path, TWO))
    assert "of 2: " not in again

    finish(start(cache, tmp_path, TWO, {"paper": {"loss.lambda": 0.5}}))
    changed = {run.name: run for run in stored(tmp_path).runs}
    assert set(changed) == set(rows)
    assert changed["dsprites_v2"] == ours
    literal = "dsprites_v2, literal objective"
    assert changed[literal].config != rows[literal].config


def test_cells_that_fail_or_are_killed_do_not_stop_the_others(cache: Path, tmp_path: Path) -> None:
    # More labels than the train split has images: seen by the cell's own Trainer only.
    changes = {"default": {"training.steps": 400}, "paper": {"data.labels": 900}}
    process = start(cache, tmp_path, [*TWO, "12", "--max-concurrent", "1"], changes)
    os.kill(next_worker(process.pid), signal.SIGKILL)
    out = finish(process, 1)
    assert "2 without a result" in out
    assert "dsprites_v2, seed 11: WorkerCrashedError" in out
    assert "literal objective, seed 11: UserError: data.labels: 900 is not allowed" in out
    assert [(run.name, run.seed) for run in stored(tmp_path).runs] == [("dsprites_v2", 12)]


def next_worker(driver: int) -> int:
    """Process id of a worker that trains for this driver, and for no other on this machine."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                title = (process / "cmdline").read_text()
                if title.startswith("ray::train_cell") and descends(int(process.name), driver):
                    return int(process.name)
        time.sleep(0.05)
    raise AssertionError("no worker")


def descends(process: int, ancestor: int) -> bool:
    while process > 1:
        if process == ancestor:
            return True
        status = Path(f"/proc/{process}/status").read_text()
        process = int(status.partition("PPid:")[2].split()[0])
    return False


def test_whatever_ends_the_driver_keeps_what_is_finished(cache: Path, tmp_path: Path) -> None:
    slow = {"default": {"training.steps": 150}}
    process = start(cache, tmp_path, [*FIVE, "--max-concurrent", "1"], slow)
    wait_for_rows(tmp_path, 1)
    process.send_signal(signal.SIGINT)
    out = finish(process, 130)
    assert "interrupted; what is finished is in" in out
    first = stored(tmp_path).runs

    process = start(cache, tmp_path, [*FIVE, "--max-concurrent", "1"], slow)
    wait_for_rows(tmp_path, len(first) + 1)
    process.kill()
    process.communicate(timeout=PATIENCE)
    second = stored(tmp_path).runs
    assert set(first) < set(second)
    assert len(second) < 5

    out = finish(start(cache, tmp_path, FIVE, slow))
    assert f"{5 - len(second)} of {5 - len(second)}: " in out
    runs = stored(tmp_path).runs
    assert [run.seed for run in runs] == [11, 12, 13, 14, 15]
    assert set(second) < set(runs)
