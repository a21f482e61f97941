"""`make soak`: kill the processes of a long sweep one after another, and check its invariants.

Between two sessions some of its runs are deleted in MLflow.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil  # type: ignore[import-untyped]
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID
from optuna import logging as optuna_logging
from optuna.trial import TrialState

from tests.sweeps.support.faulty import (
    VARIANT,
    check_invariants,
    flags,
    own_studies,
    resume,
    started,
    study_of,
    workers,
)
from tests.sweeps.support.finished import runs_of

TARGETS = {"training process": 8, "console": 1, "driver": 1, "raylet": 1}
"""Targets of the kills, with weights. The console is the process that reads the sweep's output."""

_STARTING = 20.0
"""Seconds within which the first process of a session is killed; a start takes about ten."""


def main() -> None:
    """Kill processes for some minutes, then let the sweep end and check it."""
    parser = argparse.ArgumentParser(prog="python -m tests.sweeps.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--pause", type=float, default=6.0, help="most seconds between two kills")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    optuna_logging.set_verbosity(optuna_logging.WARNING)
    place = Path(tempfile.mkdtemp(prefix="weakdis-soak-"))
    print(f"in {place}", flush=True)
    kills = soak(place, 60 * asked.minutes, asked.pause, random.Random(asked.seed))
    counts = ", ".join(f"{number} of a {target}" for target, number in sorted(kills.items()))
    print(f"{sum(kills.values())} kills ({counts})", flush=True)
    trials = known_trials(place)
    resume(place, "--trials", str(trials), "--time-budget", "1000000")
    check_invariants(place, trials)
    check_best(place)
    print(f"{trials} trials, {ends(place)}: all is well")


def soak(place: Path, seconds: float, pause: float, choice: random.Random) -> Counter[str]:
    """Run a sweep and kill its processes until the time is over; return the number of kills."""
    kills: Counter[str] = Counter()
    deadline = time.monotonic() + seconds
    start = [*flags(100_000), "--time-budget", "1000000"]
    while time.monotonic() < deadline:
        with reader(place) as console, started(place, *start, console=console.stdin) as process:
            # Most sessions must reach training, so that trials continue.
            time.sleep(choice.uniform(0.0, _STARTING))
            target = ""
            while process.poll() is None and time.monotonic() < deadline:
                target = target or choice.choices(list(TARGETS), list(TARGETS.values()))[0]
                if not kill(process, console, target, choice):
                    # There is none yet.
                    time.sleep(0.5)
                    continue
                kills[target] += 1
                if target in ("driver", "raylet"):
                    break
                target = ""
                time.sleep(choice.uniform(0.5, pause))
            else:
                over = time.monotonic() >= deadline
                assert over, f"the sweep ended by itself, with exit code {process.poll()}"
            end(process)
        if sweep_exists(place):
            start = ["--resume", "faulty"]
            check_best(place)
            kills["run in MLflow"] += delete_runs(place, choice)
    return kills


@contextmanager
def reader(place: Path) -> Iterator[subprocess.Popen[str]]:
    """Start a process that reads the output of a session, as a terminal does."""
    call = ["tee", "-a", str(place / "output.txt")]
    with subprocess.Popen(
        call, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    ) as process:
        yield process
        process.kill()


def delete_runs(place: Path, choice: random.Random) -> int:
    """Delete up to two of the sweep's runs in MLflow, and purge some of them; return how many."""
    client = MlflowClient(tracking_uri=f"sqlite:///{place / 'mlflow.db'}")
    runs = runs_in(client)
    gone = choice.sample(runs, min(len(runs), choice.randint(0, 2)))
    for run in gone:
        client.delete_run(run.info.run_id)
        if MLFLOW_PARENT_RUN_ID in run.data.tags and choice.random() < 0.5:
            client._tracking_client.store._hard_delete_run(run.info.run_id)
    return len(gone)


def runs_in(client: MlflowClient) -> list[Run]:
    """Return the runs of the sweep in MLflow."""
    experiment = client.get_experiment_by_name(VARIANT)
    places = [experiment.experiment_id] if experiment else []
    return list(client.search_runs(places, "tags.sweep = 'faulty'")) if places else []


def kill(
    process: subprocess.Popen[str],
    console: subprocess.Popen[str],
    target: str,
    choice: random.Random,
) -> bool:
    """Kill a process of the sweep, or the reader of its output; return whether there was one.

    A console that is already gone counts as killed.
    """
    with contextlib.suppress(psutil.NoSuchProcess):
        if target == "console":
            console.kill()
            return True
        if target == "driver":
            found = [psutil.Process(process.pid)]
        elif target == "raylet":
            family = psutil.Process(process.pid).children(recursive=True)
            found = [each for each in family if each.name() == "raylet"]
        else:
            found = workers(process)
        if found:
            choice.choice(found).kill()
            return True
    return False


def end(process: subprocess.Popen[str]) -> None:
    """End the processes that a killed driver leaves; they would take a while to end themselves."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def sweep_exists(place: Path) -> bool:
    """Check whether the sweep was stored before it was killed, so that it can be resumed."""
    if not (place / "runs/faulty/study.db").exists():
        return False
    with contextlib.suppress(KeyError), study_of(own_studies(place)) as study:
        return "sweep" in study.user_attrs
    return False


def known_trials(place: Path) -> int:
    """Return the number of trials in the study."""
    with study_of(own_studies(place)) as study:
        return len(study.trials)


def ends(place: Path) -> str:
    """Count the trials by their state, as text."""
    with study_of(own_studies(place)) as study:
        states = Counter(trial.state for trial in study.trials)
    return ", ".join(f"{states[state]} {state.name.lower()}" for state in TrialState)


def check_best(place: Path) -> None:
    """Check that the best score of the sweep never gets worse in MLflow."""
    uri = f"sqlite:///{place / 'mlflow.db'}"
    client = MlflowClient(tracking_uri=uri)
    if all(MLFLOW_PARENT_RUN_ID in run.data.tags for run in runs_in(client)):
        # The parent was deleted, and the session was killed before it restored it.
        return
    parent, _ = runs_of(uri, VARIANT, "faulty")
    name = "best/relation_accuracy_pixels"
    history = client.get_metric_history(parent.info.run_id, name)
    values = [point.value for point in sorted(history, key=lambda point: point.timestamp)]
    assert values == sorted(values), values


if __name__ == "__main__":
    main()
