"""Run by a test: four trials that take a quarter of a GPU each and end when all have started."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from ray import tune

from sweeps.budget import Budget, Interruption
from sweeps.cluster.ray_cluster import cluster
from sweeps.names import METRICS
from sweeps.search.space import build_space
from sweeps.search.tuner import open_search_study, run_search
from sweeps.state.stage import StageRun, Sweep
from sweeps.state.trials import Trials
from sweeps.sweep_settings import SweepSettings
from tests.patience import PATIENCE

VARIANT, TRIALS = "dsprites_v2", 4


def meeting_trial(parameters: dict[str, Any]) -> None:
    """Wait until all trials have started, then end."""
    place = Path(parameters["storage"])
    (place / f"here-{parameters['trial_id']}").touch()
    deadline = time.monotonic() + PATIENCE
    while len(list(place.glob("here-*"))) < TRIALS:
        if time.monotonic() > deadline:
            raise TimeoutError("the other trials have not started")
        time.sleep(0.1)
    steps = parameters["config"]["training"]["steps"]
    tune.report({METRICS["pixels"]: 0.5, "step": steps, "stage": "full"})


def main(folder: Path) -> None:
    """Run the trials on the cluster of the environment."""
    settings = SweepSettings(variant=VARIANT, name="packed", trials=TRIALS, storage=str(folder))
    base = settings.base_config(VARIANT)
    place = folder / "packed"
    place.mkdir()
    budget = Budget(PATIENCE, Interruption())
    trials = Trials("pixels", base.training.steps, budget)
    with cluster() as available:
        allotment = settings.allot(available)
        space = build_space(base, {})
        sweep = Sweep("packed", place, settings, base, space, folder, allotment)
        run = StageRun(sweep, "search", open_search_study(sweep), trials, budget)
        run_search(run, [], meeting_trial)
    print(allotment, [record.outcome for record in trials.records.values()])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
