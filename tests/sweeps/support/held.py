"""`python held.py FLAGS`: `sweeps/run.py` whose trials wait at a step until a test lets them go on.

A test says so with `hold` and `release`, so that none depends on how long training takes.
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
"""Environment variable that names the folder of the files of `hold`, else the working folder."""


def hold(folder: Path, step: int, trial: str = "all") -> None:
    """Have trials wait after their report at `step`, or at any later one.

    Args:
        folder: The working folder of the sweep.
        step: Where they wait.
        trial: One trial alone.
    """
    draft = folder / f"hold.{trial}.tmp"
    draft.write_text(str(step))
    draft.rename(folder / f"hold.{trial}")


def release(folder: Path) -> None:
    """Let all trials go on to their end."""
    for file in folder.glob("hold.*"):
        file.unlink()


def waiting(trainable: Trainable, folder: Path) -> Trainable:
    """The trainable, waiting where a test says."""

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
    """Have the trials of this process's sweeps wait where a test asks for it."""
    place = Path(os.environ.get(FOLDER, "")).absolute()
    launch.reporting_errors = lambda trainable: (  # type: ignore[attr-defined]
        reporting_errors(waiting(trainable, place))
    )


if __name__ == "__main__":
    hold_trials()
    main(run)
