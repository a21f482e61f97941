"""What a trial costs beyond its training: trivial trials through the real launch path."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

from optuna import logging as optuna_logging
from ray import tune

from sweeps.budget import Budget, Interruption
from sweeps.cluster import allot, cluster
from sweeps.delivery import Delivery
from sweeps.experiments import open_experiment
from sweeps.launch import Sweep, run_trials, search_study
from sweeps.ledger import Ledger
from sweeps.outbox import Outbox
from sweeps.provenance import SweepRun, common_tags
from sweeps.settings import SweepSettings
from sweeps.space import METRICS, build_space
from sweeps.stored import claim_folder
from sweeps.tracking import Tracking
from sweeps.trainable import CHECKPOINT_FILE
from sweeps.writer import Writer

_VARIANT = "dsprites_v2"


def trivial_trial(parameters: dict[str, Any]) -> None:
    """Report once, with a checkpoint and what a real last report holds, and train nothing."""
    steps = parameters["base"]["training"]["steps"]
    result = {METRICS["pixels"]: 0.5, "step": steps, "stage": "full", "seconds": 0.0}
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / CHECKPOINT_FILE).write_bytes(bytes(2**20))
        tune.report({**result, "device": "none"}, checkpoint=tune.Checkpoint(folder))


def trial_overhead(trials: int = 20) -> float:
    """Seconds a trial takes beyond its training, one after another, start of the process included.

    Tune, the Optuna study and the MLflow database are the real ones, in a temporary folder.

    Args:
        trials: Trials to run.
    """
    with tempfile.TemporaryDirectory() as folder:
        settings = SweepSettings(
            variant=_VARIANT,
            name="overhead",
            trials=trials,
            preset="quick",
            max_concurrent=1,
            storage=folder,
            tracking_uri=f"sqlite:///{folder}/mlflow.db",
        )
        open_experiment(settings.tracking, _VARIANT, "overhead")
        with cluster(settings.address) as available:
            return _timed(settings, available) / trials


def _timed(settings: SweepSettings, available: dict[str, float]) -> float:
    optuna_logging.set_verbosity(optuna_logging.WARNING)
    base = settings.base_config(_VARIANT)
    space = build_space(base, {})
    folder = claim_folder(Path(settings.storage), "overhead")
    allotment = allot(settings, available)
    sweep = Sweep("overhead", folder, settings, base, space, folder, allotment)
    interruption = Interruption()
    ledger = Ledger(settings.objective, base.training.steps, interruption)
    run = SweepRun("overhead", _VARIANT, common_tags(base, "rendered"), {})
    writer = Writer(Outbox(folder), Delivery(settings.tracking, _VARIANT, "overhead"))
    tracking = Tracking(writer, run, ledger)
    budget = Budget(settings.time_budget, interruption)
    study = search_study(sweep)
    started = time.perf_counter()
    tracking.open()
    try:
        run_trials(sweep, study, ledger, budget, [tracking], trivial_trial)
    finally:
        tracking.close("FINISHED")
        writer.close()
    if len(ledger.complete()) != settings.trials:
        raise RuntimeError(f"only {len(ledger.complete())} of {settings.trials} trials completed")
    return time.perf_counter() - started


if __name__ == "__main__":
    print(f"{trial_overhead():.3f} s a trial beyond its training")
