"""A sweep made to fail: how to start it, wait for its trials, and check its invariants."""

from __future__ import annotations

import contextlib
import csv
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import optuna
import psutil  # type: ignore[import-untyped]
from mlflow import MlflowClient
from mlflow.entities import Run
from optuna.storages import RDBStorage
from optuna.trial import TrialState

from tests.patience import PATIENCE
from tests.sweeps.support.finished import command, of_stage, runs_of

VARIANT = "dsprites_v2"
STEPS, EVALUATIONS = 200, 10
SCRIPT = Path(__file__).with_name("held.py")


def flags(trials: int = 3, steps: int = STEPS, evaluations: int = EVALUATIONS) -> list[str]:
    sizes = ["--trials", f"{trials}", "--max-steps", f"{steps}", "--max-concurrent", "2"]
    sizes += ["--time-budget", "36000"]
    return ["--name", "faulty", *sizes, "--set", f"training.evaluations={evaluations}"]


def call_of(*given: str) -> list[str]:
    """Return the command of a sweep whose trials wait where `hold` asks them to."""
    python, _, *sizes = command()
    # A resumed sweep has its sizes already.
    return [python, str(SCRIPT), *([] if "--resume" in given else sizes), *given]


@contextmanager
def started(
    place: Path, *given: str, console: IO[str] | None = None
) -> Iterator[subprocess.Popen[str]]:
    """Start a sweep in a session of its own, so that it can be killed with its processes."""
    output = console or (place / "output.txt").open("a")
    with output, subprocess.Popen(
        call_of(*(given or flags())), cwd=place, stdout=output, stderr=output, text=True,
        start_new_session=True,
    ) as process:  # fmt: skip
        try:
            yield process
        except BaseException:
            # A failed test must not wait for the end of its sweep.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise


def wait_for(place: Path, trial: str = "*", reports: int = 3) -> None:
    """Wait until a trial of the first session has so many reports."""
    deadline = time.monotonic() + PATIENCE
    while last_checkpoint(place / "runs/faulty/search-1", trial) < reports:
        assert time.monotonic() < deadline, (place / "output.txt").read_text()
        time.sleep(0.05)


def last_checkpoint(folder: Path, trial: str) -> int:
    """Return the number of the newest checkpoint of a session, from 0; -1 without one."""
    found = (each.name.rpartition("_")[2] for each in folder.glob(f"{trial}/checkpoint_*"))
    return max((int(number) for number in found if number.isdigit()), default=-1)


def resume(place: Path, *more: str) -> str:
    """Resume the sweep by the command that users run; return its output."""
    call = call_of("--resume", "faulty", *more)
    done = subprocess.run(
        call, cwd=place, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "report not made" not in done.stdout
    return done.stdout


def rows(place: Path) -> list[dict[str, str]]:
    with (place / "runs/faulty/trials.csv").open() as file:
        # Without the columns that only other trials have.
        return [{k: v for k, v in row.items() if v} for row in csv.DictReader(file)]


def check_invariants(
    place: Path, trials: int = 3, uri: str | None = None, studies: str | None = None
) -> list[Run]:
    """Check that each trial has one run, with its true end and each step once, as in the study."""
    uri = uri or f"sqlite:///{place / 'mlflow.db'}"
    parent, children = runs_of(uri, VARIANT, "faulty")
    assert parent.info.status == "FINISHED"
    children = of_stage(children, "search")
    children.sort(key=lambda run: str(run.data.tags["trial_id"]))
    assert [run.data.tags["trial_id"] for run in children] == [
        row["trial_id"] for row in rows(place)
    ]
    assert len(children) == trials
    client = MlflowClient(tracking_uri=uri)
    for run in children:
        assert run.info.status in ("FINISHED", "FAILED")
        for name in ("train/reconstruction", "val/relation_accuracy_pixels"):
            steps = [point.step for point in client.get_metric_history(run.info.run_id, name)]
            assert steps == sorted(set(steps))
    states = {"FINISHED": (TrialState.COMPLETE, TrialState.PRUNED), "FAILED": (TrialState.FAIL,)}
    with study_of(studies or own_studies(place)) as study:
        known = study.trials
    assert len(known) == trials
    for run in children:
        trial = known[int(run.data.tags["trial_id"])]
        assert trial.state in states[run.info.status]
        assert sorted(trial.intermediate_values) == list(trial.intermediate_values)
    return children


def own_studies(place: Path) -> str:
    """Return the default address of the study."""
    return f"sqlite:///{place / 'runs/faulty/study.db'}"


def record_of(studies: str, trial: str) -> dict[str, Any]:
    """Return the record of a trial in the study."""
    with study_of(studies) as study:
        return dict(study.user_attrs[f"trial {trial}"])


@contextmanager
def study_of(studies: str) -> Iterator[optuna.Study]:
    """Load the sweep's study, and close its connections afterwards."""
    storage = RDBStorage(studies)
    try:
        yield optuna.load_study(study_name="faulty", storage=storage)
    finally:
        storage.remove_session()
        storage.engine.dispose()


def workers(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """Return the processes of a sweep that train."""
    family = psutil.Process(process.pid).children(recursive=True)
    return [each for each in family if "ray::ImplicitFunc" in " ".join(each.cmdline())]


def reported(uri: str, run: Run) -> list[int]:
    """Return the steps of a run's reports in MLflow."""
    client = MlflowClient(tracking_uri=uri)
    return [point.step for point in client.get_metric_history(run.info.run_id, "seconds")]
