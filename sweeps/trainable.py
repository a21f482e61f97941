"""One trial: what Ray runs in its worker processes. It only forwards what the Trainer yields."""

from __future__ import annotations

import math
import platform
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from ray import tune

from sweeps.space import LABELS_METRIC
from weakdis_core.config import Config, validated
from weakdis_core.data.store import Prepared, open_prepared, prepare
from weakdis_core.errors import UserError
from weakdis_core.metrics.oracle import prepare_oracle
from weakdis_core.trainer import Report, Trainer

CHECKPOINT_FILE = "checkpoint.pt"


def trial_parameters(base: Config, prepared: Path) -> dict[str, Any]:
    """What every trial is given, beside the values that the search chooses for it."""
    return {"base": base.to_dict(), "prepared": str(prepared)}


def trial_config(parameters: dict[str, Any]) -> Config:
    """The settings of a trial.

    Raises:
        UserError: The values chosen do not fit together.
    """
    return validated(parameters["base"]).with_values(parameters["values"])


def train_trial(parameters: dict[str, Any]) -> None:
    """Train one trial and report each evaluation with a checkpoint.

    The process is used for trial after trial, so nothing is kept between them: the Trainer draws
    every random number from generators seeded by its config, sets the threads and builds its
    networks anew, and the images are a memory map.

    Args:
        parameters: `trial_parameters` and the chosen `values`.
    """
    config = trial_config(parameters)
    prepared = _open(Path(parameters["prepared"]), config)
    oracle = prepare_oracle(prepared, config.data)
    trainer = Trainer(config, prepared, oracle)
    checkpoint = tune.get_checkpoint()
    if checkpoint is not None:
        with checkpoint.as_directory() as folder:
            trainer.load(Path(folder) / CHECKPOINT_FILE)
    for report in trainer.fit():
        with _saved(trainer) as saved:
            tune.report(result_of(report, config, trainer.device), checkpoint=saved)


def result_of(report: Report, config: Config, device: torch.device) -> dict[str, Any]:
    """A Report as Tune takes it. Metrics that do not exist (yet) are absent, never NaN."""
    metrics = {name: value for name, value in report.metrics.items() if math.isfinite(value)}
    return {
        **metrics,
        "step": report.step,
        "stage": report.stage,
        "seconds": report.seconds,
        LABELS_METRIC: config.data.labels,
        "device": device_name(device),
    }


def device_name(device: torch.device) -> str:
    """What a run was computed on, as its tag says it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"cpu {platform.machine()}"


def _open(path: Path, config: Config) -> Prepared:
    """Open the prepared images by path; on a machine that lacks them, make them."""
    try:
        return open_prepared(path)
    except UserError:
        return prepare(config.data, config.runtime.data_dir)


@contextmanager
def _saved(trainer: Trainer) -> Iterator[tune.Checkpoint]:
    with tempfile.TemporaryDirectory() as folder:
        trainer.save(Path(folder) / CHECKPOINT_FILE)
        yield tune.Checkpoint(folder)
