"""Cost of a trial beyond its training, measured with trivial trials on the real launch path."""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from optuna import logging as optuna_logging
from ray import tune
from rich.console import Console

from analysis.data.outbox_files import OUTBOX_FILE
from sweeps.budget import Interruption
from sweeps.cluster.allotment import Allotment
from sweeps.cluster.ray_cluster import LOCAL, cluster
from sweeps.names import METRICS
from sweeps.search.space import build_space
from sweeps.search.tuner import run_search
from sweeps.session import open_session
from sweeps.state.stage import Sweep
from sweeps.state.study import STUDY_FILE
from sweeps.sweep_settings import SweepSettings
from sweeps.tracking.experiments import open_experiment
from sweeps.trainable import CHECKPOINT_FILE
from sweeps.trial import Listener, TrialRecord
from weakdis_core.data.prepared import prepare

_VARIANT = "dsprites_v2"
_NAME = "overhead"
REPORTS = 5


def trivial_trial(parameters: dict[str, Any]) -> None:
    """Report as often as a short trial does, with small checkpoints, but train nothing."""
    steps = parameters["config"]["training"]["steps"]
    for report in range(1, REPORTS + 1):
        result = {METRICS["pixels"]: 0.5, "stage": "full", "seconds": 0.0, "device": "none"}
        result["step"] = steps * report // REPORTS
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / CHECKPOINT_FILE).write_bytes(bytes(2**10))
            tune.report(result, checkpoint=tune.Checkpoint(folder))


def measure(trials: int) -> dict[str, float]:
    """Run trivial trials one after another, with the real Tune, Optuna and MLflow.

    Args:
        trials: Number of trials.

    Returns:
        Seconds per trial (`seconds`); seconds and the driver's CPU seconds per trial in the last
        tenth (`late`, `cpu`); MiB of the driver's memory at its peak (`memory`) and of each file.
    """
    with tempfile.TemporaryDirectory() as folder:
        os.environ["WEAKDIS_CACHE"] = f"{folder}/cache"
        settings = SweepSettings(
            variant=_VARIANT,
            name=_NAME,
            trials=trials,
            preset="quick",
            time_budget=1e6,
            # Given, because the environment may name the user's own.
            storage=folder,
            optuna_storage=f"sqlite:///{folder}/{STUDY_FILE}",
            tracking_uri=f"sqlite:///{folder}/mlflow.db",
        )
        open_experiment(settings.tracking, _VARIANT, _NAME)
        with cluster(LOCAL):
            seconds, late, cpu = _time_search(settings)
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
    """Records the time, and the driver's processor time, at the start of each trial."""

    def __init__(self) -> None:
        self.starts: list[tuple[float, float]] = []

    def trial_started(self, record: TrialRecord) -> None:
        self.starts.append((time.perf_counter(), time.process_time()))


def _time_search(settings: SweepSettings) -> tuple[float, float, float]:
    """Return the seconds of all trials, and the `late` and `cpu` seconds of `measure`."""
    optuna_logging.set_verbosity(optuna_logging.WARNING)
    base = settings.base_config(_VARIANT).with_values({"data.source": "rendered"})
    folder = settings.folder / _NAME
    folder.mkdir(parents=True)
    space, images, allotment = (
        build_space(base, {}),
        prepare(base.data).path,
        Allotment(1.0, 0.0, 1),
    )
    sweep = Sweep(_NAME, folder, settings, base, space, images, allotment)
    clock = _Clock()
    with open_session(sweep, Interruption(), Console(quiet=True)) as session:
        started = time.perf_counter()
        run_search(session, [session.tracking, clock], trivial_trial)
        session.found = True
    seconds = time.perf_counter() - started
    completed = len(session.trials.complete())
    if session.writer.failures or completed != settings.trials:
        raise RuntimeError(f"only {completed} of {settings.trials} trials completed")
    last = max(2, len(clock.starts) // 10)
    (first, first_cpu), *_, (end, end_cpu) = clock.starts[-last:]
    return seconds, (end - first) / (last - 1), (end_cpu - first_cpu) / (last - 1)


def _size(file: Path) -> float:
    return file.stat().st_size / 2**20


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1]) if sys.argv[1:] else 20)))
