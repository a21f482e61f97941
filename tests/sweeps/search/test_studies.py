"""Declared studies by their command: missing runs are trained once, after any kill."""

from __future__ import annotations

import csv
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from analysis.data.archive import RUNS_FILE, SCORES_FILE
from analysis.data.export import export_runs
from analysis.data.runs import read_runs
from tests.patience import PATIENCE, wait_until
from tests.sweeps.support import small_study
from tests.sweeps.support.finished import runs_of
from tests.sweeps.support.held import hold, release
from tests.sweeps.support.machines import Machines
from tests.sweeps.support.small_study import CHANGES, COMMIT
from weakdis_core.version import CODE_VERSION

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[3]
VARIANT = "dsprites_v2"
NAME = f"study-controls-{VARIANT}-core{CODE_VERSION}"
BASELINES = [f"{VARIANT}, {kind}, 60 random labels" for kind in ("few_labels", "zerodim")]
ROWS = [f"{VARIANT}, literal objective", *BASELINES]
# What differs between two trainings of the same run.
OWN = ("cpu_seconds", "scoring_seconds", "finished")


def call(*flags: str) -> list[str]:
    asked = ["--study", "controls", "--variant", VARIANT, "--data-source", "rendered"]
    return [sys.executable, small_study.__file__, *asked, *flags]


def environment(place: Path, changes: str = "{}") -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT), "HOLD_FOLDER": str(place), CHANGES: changes}


def run(place: Path, *command: str, changes: str = "{}", code: int = 0) -> str:
    """Run a command to its end; what it prints."""
    done = subprocess.run(
        command, cwd=place, env=environment(place, changes), capture_output=True, text=True,
        check=False, timeout=PATIENCE,
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    return " ".join(done.stdout.split())


def export(place: Path) -> tuple[list[dict[str, str]], str]:
    """Export the archive: the lines of its runs, and the text of its scores."""
    tracked = read_runs(f"sqlite:///{place / 'mlflow.db'}")
    export_runs(tracked, place / "results", [place / "runs" / NAME])
    with (place / "results" / RUNS_FILE).open() as file:
        runs = list(csv.DictReader(file))
    return runs, (place / "results" / SCORES_FILE).read_text()


def without_own(runs: list[dict[str, str]]) -> list[dict[str, str]]:
    return [{name: text for name, text in line.items() if name not in OWN} for line in runs]


def tracked(place: Path) -> tuple[Any, list[Any]]:
    return runs_of(f"sqlite:///{place / 'mlflow.db'}", VARIANT, NAME)


@pytest.fixture(scope="module")
def uninterrupted(
    cache: Path, empty_database: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A folder in which the study was trained without a break."""
    place = tmp_path_factory.mktemp("study")
    shutil.copy(empty_database, place / "mlflow.db")
    printed = run(place, *call())
    assert "3 of 3 runs trained" in printed
    return place


def test_a_study_leaves_rows_and_no_files(uninterrupted: Path) -> None:
    parent, runs = tracked(uninterrupted)
    assert (parent.info.status, parent.data.tags["kind"]) == ("FINISHED", "study")
    assert sorted(each.data.tags["row"] for each in runs) == sorted(ROWS)
    for each in runs:
        tags, metrics = each.data.tags, each.data.metrics
        assert (tags["stage"], tags["study"], tags["outcome"]) == ("study", "controls", "complete")
        assert tags["machine"]
        assert metrics["cpu_seconds"] > 0
        assert metrics["scoring_seconds"] > 0
        assert metrics["test/images"] == metrics["test/fidelity_images"] == 100
        assert each.data.params["runtime.precision"] == "float32"
    # The last checkpoint goes with the scores.
    assert not list(uninterrupted.glob(f"runs/{NAME}/**/checkpoint*"))


def test_a_study_is_no_sweep_and_no_registered_model(uninterrupted: Path) -> None:
    listed = run(uninterrupted, sys.executable, str(ROOT / "sweeps/run.py"), "--list")
    assert "no sweeps in" in listed
    client = MlflowClient(tracking_uri=f"sqlite:///{uninterrupted / 'mlflow.db'}")
    assert client.search_registered_models() == []
    shown = run(uninterrupted, *call()[:2], "--status", NAME)
    assert f"{NAME}: ended; 3 complete" in shown


def test_trained_runs_are_not_trained_again(uninterrupted: Path) -> None:
    before = {each.info.run_id for each in tracked(uninterrupted)[1]}
    assert "nothing left to train" in run(uninterrupted, *call("--plan"))
    assert "nothing left to train of 3 runs" in run(uninterrupted, *call())
    assert {each.info.run_id for each in tracked(uninterrupted)[1]} == before


def test_a_stale_row_is_trained_again_and_a_failed_run_is_retried(
    uninterrupted: Path, tmp_path: Path
) -> None:
    for name in ("mlflow.db", "mlruns", "runs"):
        if (uninterrupted / name).is_dir():
            shutil.copytree(uninterrupted / name, tmp_path / name)
        elif (uninterrupted / name).exists():
            shutil.copy(uninterrupted / name, tmp_path / name)
    run(tmp_path, sys.executable, "-m", "analysis", "export")
    before, _ = export(tmp_path)
    changed = '{"paper": {"training.steps": 30}}'
    assert "stale" in run(tmp_path, *call("--plan"), changes=changed)
    assert "1 of 1 runs trained" in run(tmp_path, *call(), changes=changed)
    after, _ = export(tmp_path)
    assert len(before) == len(after) == 3
    assert [line["name"] for line in after if line not in before] == ROWS[:1]
    (again,) = (line for line in after if line["name"] == ROWS[0])
    assert again["steps"] == "30"
    # Seeds may be added. A run that fails stops no other: it has more labels than images.
    failing, seeds = '{"paper": {"data.labels": 5000}}', ("--seeds", "11", "12")
    printed = run(tmp_path, *call(*seeds), code=1, changes=failing)
    assert "2 of 4 runs trained" in printed
    assert f"{ROWS[0]}, seed 12 failed: data.labels: 5000 is not allowed" in printed
    assert len(export(tmp_path)[0]) == 5
    # It is retried.
    assert "1 of 1 runs trained" in run(tmp_path, *call(*seeds), changes=changed)
    assert len(export(tmp_path)[0]) == 6


def test_a_study_whose_driver_is_killed_is_resumed_by_the_same_command(
    uninterrupted: Path, empty_database: Path, tmp_path: Path
) -> None:
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    # Both baselines have begun when the driver is killed.
    trained = tmp_path / "runs" / NAME / "study-1"
    held = ("run-00001", "run-00002")
    for name in held:
        hold(tmp_path, 12, name)
    with begun(tmp_path) as process:
        wait_until(lambda: all(list(trained.glob(f"{name}/checkpoint*")) for name in held))
        os.killpg(process.pid, signal.SIGKILL)
    release(tmp_path)
    assert "2 of 2 runs trained" in run(tmp_path, *call())
    (runs, scores), (whole, whole_scores) = export(tmp_path), export(uninterrupted)
    assert {line["git_commit"] for line in runs} == {COMMIT}
    assert without_own(runs) == without_own(whole)
    assert scores == whole_scores
    _, children = tracked(tmp_path)
    assert sorted(each.data.tags["row"] for each in children) == sorted(ROWS)
    assert {each.info.status for each in children} == {"FINISHED"}


def test_a_study_runs_on_two_machines(
    uninterrupted: Path,
    empty_database: Path,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    with Machines(tmp_path_factory.mktemp("ray")) as machines:
        machines.start_head()
        machines.start_other()
        # Each waits until the other has begun, so that both machines have one.
        hold(tmp_path, 6)
        with begun(tmp_path, "--address", machines.address) as process:
            trained = tmp_path / "runs" / NAME / "study-1"
            wait_until(lambda: len(list(trained.glob("run-*/checkpoint*"))) == 2)
            release(tmp_path)
            assert process.wait(timeout=PATIENCE) == 0
    (runs, scores), (whole, whole_scores) = export(tmp_path), export(uninterrupted)
    assert without_own(runs) == without_own(whole)
    assert scores == whole_scores


@contextmanager
def begun(place: Path, *flags: str) -> Iterator[subprocess.Popen[bytes]]:
    """The study's command, started in a session of its own; it is killed at the end."""
    with (
        (place / "output.txt").open("wb") as output,
        subprocess.Popen(
            call(*flags), cwd=place, env=environment(place), stdout=output, stderr=output,
            start_new_session=True,
        ) as process,
    ):  # fmt: skip
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
