"""Scripted trials, run as those of a sweep: with the real Tune, Optuna and MLflow."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlflow.entities import Run
from optuna.trial import TrialState
from ray import tune

from sweeps.budget import Budget, Interruption
from sweeps.cluster.allotment import Allotment
from sweeps.search.space import build_space
from sweeps.search.tuner import run_search
from sweeps.state.stage import StageRun, Sweep
from sweeps.state.study import make_sampler, open_storage, open_study
from sweeps.state.trial_store import end_out_of_time
from sweeps.state.trials import Trials
from sweeps.sweep_settings import SweepSettings
from sweeps.tracking.client import RunClient
from sweeps.tracking.experiments import open_experiment
from sweeps.tracking.outbox import Outbox
from sweeps.tracking.run_info import SweepRun, common_tags
from sweeps.tracking.run_tracker import RunTracker
from sweeps.tracking.worker import DeliveryWorker
from sweeps.trial import Listener
from tests.patience import PATIENCE
from tests.sweeps.support.finished import runs_of

VARIANT = "dsprites_v2"
STEPS = 400


@dataclass(frozen=True)
class Ran:
    """The results of scripted trials."""

    trials: Trials
    states: list[TrialState]
    parent: Run
    children: dict[str, Run]
    folder: Path
    sweep: Sweep


def run_script(
    script: Callable[[dict[str, Any]], None],
    sizes: list[int],
    database: str,
    folder: Path,
    listeners: Sequence[Listener] = (),
) -> Ran:
    """Run scripted trials of the given latent sizes one after another, as a sweep does."""
    settings = SweepSettings(
        variant=VARIANT, name="scripted", trials=len(sizes), preset="quick", sampler="random",
        time_budget=PATIENCE, max_steps=STEPS, storage=str(folder),
    )  # fmt: skip
    base = settings.base_config(VARIANT)
    space = build_space(base, {})
    place = folder / "scripted"
    place.mkdir()
    sweep = Sweep("scripted", place, settings, base, space, folder, Allotment(1.0, 0.0, 1))
    study = open_study(open_storage(place), "scripted", "pixels", space)
    study.sampler = make_sampler("random", 0, 10)
    for size in sizes:
        study.enqueue_trial({"model.latent_size": size})
    budget = Budget(settings.time_budget, Interruption())
    trials = Trials("pixels", base.training.steps, budget)
    open_experiment(database, VARIANT, "scripted")
    writer = DeliveryWorker(Outbox(place), RunClient(database, VARIANT, "scripted"))
    described = SweepRun("scripted", base, common_tags(base, "rendered"), {"trials": len(sizes)})
    tracking = RunTracker(writer, described, trials)
    tracking.open()
    run = StageRun(sweep, "search", study, trials, budget)
    try:
        run_search(run, [tracking, *listeners], script)
    finally:
        end_out_of_time(run)
        tracking.close("FINISHED")
        writer.close()
    assert not writer.failures
    parent, children = runs_of(database, VARIANT, "scripted")
    ends = {run.data.tags["trial_id"]: run for run in children}
    return Ran(trials, [trial.state for trial in study.trials], parent, ends, place, sweep)


def report(step: int, **metrics: float) -> None:
    """Report metrics and a checkpoint, as a trial does."""
    result = {"step": step, "stage": "full", "seconds": 1.0, "device": "none"}
    named = {name.replace("__", "/"): value for name, value in metrics.items()}
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "file").write_text(str(step))
        tune.report(result | named, checkpoint=tune.Checkpoint(folder))
