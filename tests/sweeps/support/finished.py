"""A sweep that has ended, and functions to run and find one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from tests.patience import PATIENCE

SCRIPT = Path(__file__).parents[3] / "sweeps" / "run.py"


@dataclass(frozen=True)
class Finished:
    """A sweep that has ended, with its output and its runs."""

    folder: Path
    uri: str
    output: str
    errors: str
    parent: Run
    children: list[Run]
    """Trials of the search."""
    confirmed: list[Run]
    """Confirm runs."""

    @property
    def client(self) -> MlflowClient:
        return MlflowClient(tracking_uri=self.uri)

    @property
    def best(self) -> Run:
        """The run of the best trial."""
        return next(run for run in self.children if run.data.tags.get("best") == "true")


def command(*flags: str) -> list[str]:
    """Return the command of a small sweep: a thousand rendered images, the smallest networks."""
    sizes = ("data.max_images=1000", "model.channels=8", "model.hidden=32")
    fixed = [part for size in sizes for part in ("--set", size)]
    base = ["--variant", "dsprites_v2", "--preset", "quick", "--data-source", "rendered"]
    return [sys.executable, str(SCRIPT), *base, *fixed, *flags]


def interrupted(
    call: list[str], place: Path, until: str, number: signal.Signals = signal.SIGINT
) -> tuple[int, str]:
    """Send a signal to a sweep and all its processes, and wait for its end.

    Args:
        call: The sweep's command.
        place: Its working folder.
        until: Pattern of files in that folder; the signal is sent when one exists.
        number: The signal.

    Returns:
        The exit code and the output.
    """
    with subprocess.Popen(
        call,
        cwd=place,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        deadline = time.monotonic() + PATIENCE
        while not list(place.glob(until)):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        os.killpg(process.pid, number)
        output, _ = process.communicate(timeout=PATIENCE)
    return process.returncode, output


def of_stage(runs: list[Run], stage: str) -> list[Run]:
    """Return the runs of a stage: search or confirm."""
    return [run for run in runs if run.data.tags["stage"] == stage]


def runs_of(uri: str, variant: str, sweep: str) -> tuple[Run, list[Run]]:
    """Return the parent run of a sweep and its children, in the order of their start."""
    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name(variant)
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], f"tags.sweep = '{sweep}'")
    parents = [run for run in runs if MLFLOW_PARENT_RUN_ID not in run.data.tags]
    assert len(parents) == 1
    children = [run for run in runs if MLFLOW_PARENT_RUN_ID in run.data.tags]
    assert all(run.data.tags[MLFLOW_PARENT_RUN_ID] == parents[0].info.run_id for run in children)
    return parents[0], sorted(children, key=lambda run: run.info.start_time)
