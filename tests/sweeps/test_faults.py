"""What dies in the middle of a sweep, really killed: nothing finished is lost, all else goes on."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import optuna
import psutil  # type: ignore[import-untyped]
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from optuna.trial import TrialState

from tests.sweeps.finished import SCRIPT, command, interrupted, runs_of
from tests.sweeps.server import Server

pytestmark = pytest.mark.slow
VARIANT = "dsprites_v2"
STEPS, EVALUATIONS = 400, 20
OUTAGE = 40.0


def flags(trials: int = 3, steps: int = STEPS, evaluations: int = EVALUATIONS) -> list[str]:
    sizes = ["--trials", f"{trials}", "--max-steps", f"{steps}", "--max-concurrent", "2"]
    return ["--name", "faulty", *sizes, "--set", f"training.evaluations={evaluations}"]


@contextmanager
def started(place: Path, *given: str) -> Iterator[subprocess.Popen[str]]:
    """A sweep in a session of its own, so that it can be killed with all that it started."""
    output = (place / "output.txt").open("a")
    with output, subprocess.Popen(
        command(*(given or flags())), cwd=place, stdout=output, stderr=output, text=True,
        start_new_session=True,
    ) as process:  # fmt: skip
        yield process


def wait_for(place: Path, trial: str = "*", reports: int = 5) -> None:
    """Wait until a trial of the first session has so many reports."""
    deadline = time.monotonic() + 240
    while last_checkpoint(place / "runs/faulty/search-1", trial) < reports:
        assert time.monotonic() < deadline, (place / "output.txt").read_text()
        time.sleep(0.05)


def last_checkpoint(folder: Path, trial: str) -> int:
    """Number of the newest checkpoint of a session, from 0; -1 without one."""
    found = (each.name.rpartition("_")[2] for each in folder.glob(f"{trial}/checkpoint_*"))
    return max((int(number) for number in found if number.isdigit()), default=-1)


def resume(place: Path, *more: str) -> str:
    """Go on with the sweep, by the command a user types; what it prints."""
    call = [command()[0], str(SCRIPT), "--resume", "faulty", *more]
    done = subprocess.run(call, cwd=place, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def rows(place: Path) -> list[dict[str, str]]:
    with (place / "runs/faulty/trials.csv").open() as file:
        # A column that other trials alone have is no change of this one.
        return [{k: v for k, v in row.items() if v} for row in csv.DictReader(file)]


def check_invariants(place: Path, trials: int = 3, uri: str | None = None) -> list[Run]:
    """One run per trial, each with a true end, each step told once; the study agrees."""
    uri = uri or f"sqlite:///{place / 'mlflow.db'}"
    parent, children = runs_of(uri, VARIANT, "faulty")
    assert parent.info.status == "FINISHED"
    children.sort(key=lambda run: str(run.data.tags["trial_id"]))
    told = [run.data.tags["trial_id"] for run in children]
    assert told == [row["trial_id"] for row in rows(place)]
    assert len(children) == trials
    client = MlflowClient(tracking_uri=uri)
    for run in children:
        assert run.info.status in ("FINISHED", "FAILED")
        for name in ("train/reconstruction", "val/relation_accuracy_pixels"):
            steps = [point.step for point in client.get_metric_history(run.info.run_id, name)]
            assert steps == sorted(set(steps))
    study = optuna.load_study(
        study_name="faulty", storage=f"sqlite:///{place / 'runs/faulty/study.db'}"
    )
    states = {"FINISHED": (TrialState.COMPLETE, TrialState.PRUNED), "FAILED": (TrialState.FAIL,)}
    assert len(study.trials) == trials
    for run in children:
        trial = study.trials[int(run.data.tags["trial_id"]) - 1]
        assert trial.state in states[run.info.status]
        assert sorted(trial.intermediate_values) == list(trial.intermediate_values)
    return children


def workers(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """The processes of a sweep that train."""
    family = psutil.Process(process.pid).children(recursive=True)
    return [each for each in family if "ray::" in " ".join(each.cmdline())]


def test_a_killed_sweep_goes_on_where_it_was(cache: Path, database: str, tmp_path: Path) -> None:
    with started(tmp_path) as process:
        wait_for(tmp_path, reports=0)
        # While it runs nobody else may touch it.
        call = [command()[0], str(SCRIPT), "--resume", "faulty"]
        second = subprocess.run(call, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert second.returncode == 2
        assert "error: name: the sweep 'faulty' is running already" in second.stderr
        wait_for(tmp_path)
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


def test_a_killed_worker_s_trial_goes_on_in_the_same_run(
    cache: Path, database: str, tmp_path: Path
) -> None:
    with started(tmp_path) as process:
        wait_for(tmp_path)
        training = max(workers(process), key=lambda each: float(sum(each.cpu_times()[:2])))
        training.kill()
        assert process.wait(timeout=240) == 0
    check_invariants(tmp_path)
    assert {row["outcome"] for row in rows(tmp_path)} <= {"complete", "pruned"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_sweep_can_be_resumed(
    number: signal.Signals, cache: Path, database: str, tmp_path: Path
) -> None:
    code, output = interrupted(
        flags(), tmp_path, "runs/faulty/search-1/*/checkpoint_000005", number
    )
    # Ctrl-C in a terminal reaches Ray's processes too, which ignore it; SIGTERM, as `timeout` sends
    # it, kills them.
    assert code == 128 + number, output
    assert "Traceback" not in output
    assert "--resume faulty" in output
    parent, children = runs_of(database, VARIANT, "faulty")
    assert parent.info.status == "KILLED"
    assert "KILLED" in {run.info.status for run in children}
    assert "RUNNING" not in {run.info.status for run in children}
    resume(tmp_path)
    check_invariants(tmp_path)


def test_a_broken_checkpoint_falls_back_to_the_one_before(
    cache: Path, database: str, tmp_path: Path
) -> None:
    with started(tmp_path) as process:
        wait_for(tmp_path, "00001")
        os.kill(process.pid, signal.SIGKILL)
    url = f"sqlite:///{tmp_path / 'runs/faulty/study.db'}"
    study = optuna.load_study(study_name="faulty", storage=url)
    before, last = (Path(each) for each in study.user_attrs["trial 00001"]["checkpoints"])
    file = last / "checkpoint.pt"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    resume(tmp_path)
    first = check_invariants(tmp_path)[0]
    assert first.info.status == "FINISHED"
    step = (int(before.name.rpartition("_")[2]) + 1) * STEPS // EVALUATIONS
    assert first.data.tags["note"].startswith(f"went on from step {step}: {file}")


def test_without_a_readable_checkpoint_the_trial_fails_and_says_so(
    cache: Path, database: str, tmp_path: Path
) -> None:
    with started(tmp_path) as process:
        wait_for(tmp_path, "00001", reports=2)
        os.kill(process.pid, signal.SIGKILL)
    for file in (tmp_path / "runs/faulty/search-1/00001").glob("checkpoint_*/checkpoint.pt"):
        file.write_bytes(b"")
    resume(tmp_path)
    first = check_invariants(tmp_path)[0]
    assert first.info.status == "FAILED"
    assert first.data.tags["reason"].startswith("no checkpoint can be read: ")


def test_mlflow_may_be_down_for_a_while(cache: Path, tmp_path: Path) -> None:
    steps, evaluations = 3000, 50
    long = flags(trials=2, steps=steps, evaluations=evaluations)
    with Server(tmp_path) as server:
        with started(tmp_path, *long, "--tracking-uri", server.uri) as process:
            wait_for(tmp_path, reports=2)
            server.kill()
            down = time.monotonic()
            seen = last_checkpoint(tmp_path / "runs/faulty/search-1", "*")
            # Training goes on meanwhile.
            wait_for(tmp_path, reports=seen + 5)
            assert process.poll() is None
            time.sleep(max(0.0, OUTAGE - (time.monotonic() - down)))
            server.start()
            assert process.wait(timeout=400) == 0, (tmp_path / "output.txt").read_text()
        runs = check_invariants(tmp_path, trials=2, uri=server.database)
    for run, row in zip(runs, rows(tmp_path), strict=True):
        each = steps // evaluations
        assert reported(server.database, run) == list(range(each, int(row["step"]) + 1, each))


def test_what_a_dead_mlflow_misses_is_delivered_by_the_next_resume(
    cache: Path, tmp_path: Path
) -> None:
    with Server(tmp_path) as server:
        with started(tmp_path, *flags(), "--tracking-uri", server.uri) as process:
            wait_for(tmp_path)
            server.kill()
            assert process.wait(timeout=240) == 0
        output = (tmp_path / "output.txt").read_text()
        assert "MLflow does not answer" in output
        assert "--resume faulty" in output
        assert "best: trial" in output
        server.start()
        resume(tmp_path)
        check_invariants(tmp_path, uri=server.database)


def reported(uri: str, run: Run) -> list[int]:
    """The steps of a run's reports that MLflow has."""
    client = MlflowClient(tracking_uri=uri)
    return [point.step for point in client.get_metric_history(run.info.run_id, "seconds")]


def test_a_study_that_lies_elsewhere_is_resumed_too(
    cache: Path, database: str, tmp_path: Path
) -> None:
    elsewhere = ["--optuna-storage", f"sqlite:///{tmp_path / 'studies.db'}"]
    with started(tmp_path, *flags(trials=1), *elsewhere) as process:
        wait_for(tmp_path)
        os.kill(process.pid, signal.SIGKILL)
    resume(tmp_path, *elsewhere)
    assert not (tmp_path / "runs/faulty/study.db").exists()
    assert [row["outcome"] for row in rows(tmp_path)] == ["complete"]
