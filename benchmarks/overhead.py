"""What a trial costs beyond its training: trivial trials through the real launch path."""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from optuna import logging as optuna_logging
from ray import tune

from analysis.data.outbox_files import OUTBOX_FILE
from sweeps.budget import Budget, Interruption
from sweeps.cluster.allotment import Allotment
from sweeps.cluster.ray_cluster import LOCAL, cluster
from sweeps.names import METRICS
from sweeps.search.space import build_space
from sweeps.search.tuner import open_search_study, run_search
from sweeps.state.stage import StageRun, Sweep
from sweeps.state.study import STUDY_FILE
from sweeps.state.trials import Trials
from sweeps.sweep_settings import SweepSettings
from sweeps.tracking.client import RunClient
from sweeps.tracking.experiments import open_experiment
from sweeps.tracking.outbox import Outbox
from sweeps.tracking.run_info import SweepRun, common_tags
from sweeps.tracking.run_tracker import RunTracker
from sweeps.tracking.worker import DeliveryWorker
from sweeps.trainable import CHECKPOINT_FILE
from sweeps.trial import Listener, TrialRecord

_VARIANT = "dsprites_v2"
_NAME = "overhead"
REPORTS = 5


def trivial_trial(parameters: dict[str, Any]) -> None:
    """Report as often as a short trial does, with a small checkpoint, and train nothing."""
    steps = parameters["config"]["training"]["steps"]
    for report in range(1, REPORTS + 1):
        result = {METRICS["pixels"]: 0.5, "stage": "full", "seconds": 0.0, "device": "none"}
        result["step"] = steps * report // REPORTS
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / CHECKPOINT_FILE).write_bytes(bytes(2**10))
            tune.report(result, checkpoint=tune.Checkpoint(folder))


def measure(trials: int) -> dict[str, float]:
    """Run trivial trials, one after another, start of the process included.

    Tune, the Optuna study and the MLflow database are the real ones, in a temporary folder.

    Returns:
        Seconds a trial (`seconds`), seconds and the driver's processor time for a trial of the last
        tenth (`late`, `cpu`), MiB of the driver's memory at its peak (`memory`) and of files.
    """
    with tempfile.TemporaryDirectory() as folder:
        settings = SweepSettings(
            variant=_VARIANT,
            name=_NAME,
            trials=trials,
            preset="quick",
            time_budget=1e6,
            # Whatever the environment says: nothing of this is the user's.
            storage=folder,
            optuna_storage=f"sqlite:///{folder}/{STUDY_FILE}",
            tracking_uri=f"sqlite:///{folder}/mlflow.db",
        )
        open_experiment(settings.tracking, _VARIANT, _NAME)
        with cluster(LOCAL):
            seconds, late, cpu = _timed(settings)
        place = settings.folder / _NAME
        return {
            "trials": trials,
            "seconds": seconds / trials,
            "late": late,
            "cpu": cpu,
            "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10,
            "study": _size(Path(folder) / STUDY_FILE),
            "mlflow": _size(Path(folder) / "mlflow.db"),
            "outbox": _size(place / OUTBOX_FILE),
            "tune": sum(_size(file) for file in place.glob("search-1/*") if file.is_file()),
        }


class _Clock(Listener):
    """Notes the time, and the driver's processor time, when a trial starts."""

    def __init__(self) -> None:
        self.starts: list[tuple[float, float]] = []

    def trial_started(self, record: TrialRecord) -> None:
        """Note both."""
        self.starts.append((time.perf_counter(), time.process_time()))


def _timed(settings: SweepSettings) -> tuple[float, float, float]:
    """Seconds of all trials, and seconds and processor time of one of the last tenth."""
    optuna_logging.set_verbosity(optuna_logging.WARNING)
    base = settings.base_config(_VARIANT)
    folder = settings.folder / _NAME
    folder.mkdir(parents=True)
    one = Allotment(1.0, 0.0, 1)
    sweep = Sweep(_NAME, folder, settings, base, build_space(base, {}), folder, one)
    budget = Budget(settings.time_budget, Interruption())
    trials = Trials(settings.objective, base.training.steps, budget)
    run = SweepRun(_NAME, base, common_tags(base, "rendered"), {})
    writer = DeliveryWorker(Outbox(folder), RunClient(settings.tracking, _VARIANT, _NAME))
    tracking = RunTracker(writer, run, trials)
    study, clock = open_search_study(sweep), _Clock()
    started = time.perf_counter()
    tracking.open()
    try:
        search = StageRun(sweep, "search", study, trials, budget)
        run_search(search, [tracking, clock], trivial_trial)
    finally:
        tracking.close("FINISHED")
        writer.close()
    if writer.failures or len(trials.complete()) != settings.trials:
        raise RuntimeError(f"only {len(trials.complete())} of {settings.trials} trials completed")
    seconds = time.perf_counter() - started
    last = max(2, len(clock.starts) // 10)
    (first, first_cpu), *_, (end, end_cpu) = clock.starts[-last:]
    return seconds, (end - first) / (last - 1), (end_cpu - first_cpu) / (last - 1)


def _size(file: Path) -> float:
    return file.stat().st_size / 2**20


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1]) if sys.argv[1:] else 20)))
