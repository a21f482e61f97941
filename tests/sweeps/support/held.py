"""`python held.py FLAGS`: `sweeps/run.py` whose trials wait at a step until a test releases them.

Tests call `hold` and `release`, so that they do not depend on how long training takes.
"""

from __future__ import annotations

import contextlib
import functools
import math
import os
import time
from pathlib import Path
from typing import Any

from ray import tune

from sweeps.run import run
from sweeps.search import tuner as launch
from sweeps.trainable import Trainable, reporting_errors
from weakdis_core.cli.console import main

FOLDER = "HOLD_FOLDER"
"""Environment variable with the folder of the files of `hold`; default: the working folder."""


def hold(folder: Path, step: int, trial: str = "all") -> None:
    """Make trials wait after their report at `step`, or at any later step.

    Args:
        folder: The working folder of the sweep.
        step: Step at which they wait.
        trial: Name of a single trial; by default all of them wait.
    """
    draft = folder / f"hold.{trial}.tmp"
    draft.write_text(str(step))
    draft.rename(folder / f"hold.{trial}")


def release(folder: Path) -> None:
    """Let all trials continue to their end."""
    for file in folder.glob("hold.*"):
        file.unlink()


def waiting(trainable: Trainable, folder: Path) -> Trainable:
    """Return a trainable that waits where a test asks it to."""

    def step_of(file: Path) -> float:
        with contextlib.suppress(FileNotFoundError):
            return int(file.read_text())
        return math.inf

    @functools.wraps(trainable)
    def train(parameters: dict[str, Any]) -> None:
        files = [folder / "hold.all", folder / f"hold.{parameters['trial_id']}"]
        report = tune.report

        def report_and_wait(metrics: dict[str, Any], **more: Any) -> None:
            report(metrics, **more)
            while metrics["step"] >= min(map(step_of, files)):
                time.sleep(0.05)

        tune.report = report_and_wait
        try:
            trainable(parameters)
        finally:
            tune.report = report

    return train


def hold_trials() -> None:
    """Make the trials of sweeps of this process wait where a test asks them to."""
    place = Path(os.environ.get(FOLDER, "")).absolute()
    launch.reporting_errors = lambda trainable: (  # type: ignore[attr-defined]
        reporting_errors(waiting(trainable, place))
    )


if __name__ == "__main__":
    hold_trials()
    main(run)
