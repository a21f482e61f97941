"""One trial: what Ray runs in its worker processes. It forwards what the Trainer yields."""

from __future__ import annotations

import functools
import math
import platform
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from ray import tune
from ray.tune import Checkpoint

from sweeps.storage import Storage, disk_error, siblings
from weakdis_core.config import Config, validated
from weakdis_core.data.store import Prepared, open_prepared, prepare
from weakdis_core.disentanglement import disentanglement_scores
from weakdis_core.errors import UserError
from weakdis_core.metrics import identifiability_ceiling
from weakdis_core.metrics.oracle import Oracle
from weakdis_core.metrics.oracle_cache import prepare_oracle
from weakdis_core.trainer import Report, Trainer

Trainable = Callable[[dict[str, Any]], None]

CHECKPOINT_FILE = "checkpoint.pt"
CONFIG_FILE = "config.yaml"
_UNTIL_STOPPED = 3600


def trial_parameters(base: Config, prepared: Path, storage: Storage) -> dict[str, Any]:
    """What every trial is given, beside the values that the search chooses for it."""
    return {"base": base.to_dict(), "prepared": str(prepared), "storage": storage.root}


def trial_config(parameters: dict[str, Any]) -> Config:
    """The settings of a trial.

    Raises:
        UserError: The values chosen do not fit together.
    """
    return validated(parameters["base"]).with_values(parameters["values"])


def train_trial(parameters: dict[str, Any]) -> None:
    """Train one trial and report each evaluation with a checkpoint.

    It goes on from the newest of its checkpoints that can be read.

    The process is used for trial after trial, so nothing is kept between them: the Trainer draws
    every random number from generators seeded by its config, sets the threads and builds its
    networks anew, and the images are a memory map.

    Args:
        parameters: `trial_parameters`, the chosen `values` and the `checkpoints` of an earlier
            session.
    """
    _train(parameters)


def confirm_trial(parameters: dict[str, Any]) -> None:
    """Train as a trial does, then evaluate on test, once, and report the scores.

    The last checkpoint comes with the pictures and the settings of the run.

    Args:
        parameters: As for `train_trial`; the `values` hold the configuration and its fresh seed.
    """
    # Draws, which takes a second to load: no trial of the search needs it.
    from weakdis_core.pictures import FOLDER, write_pictures

    trainer, oracle, prepared = _train(parameters)
    scores = scores_on_test(trainer, oracle, prepared)
    result: dict[str, Any] = {
        f"test/{name}": value for name, value in scores.items() if math.isfinite(value)
    }
    result |= {"step": trainer.step, "stage": "test", "device": device_name(trainer.device)}
    with _saved(trainer) as folder:
        trainer.config.save(folder / CONFIG_FILE)
        write_pictures(trainer, oracle, folder / FOLDER)
        tune.report(result, checkpoint=tune.Checkpoint(str(folder)))


def reporting_errors(trainable: Trainable) -> Trainable:
    """The trainable, its errors reported instead of raised.

    What failed by itself would fail again, but Tune would try it again like a trial whose process
    died. Errors of the storage, which may pass, are raised.
    """

    @functools.wraps(trainable)
    def reporting(parameters: dict[str, Any]) -> None:
        try:
            trainable(parameters)
        except Exception as error:
            if (reason := disk_error(error)) is not None:
                # Of no trial's making, and the end of every other one too: the sweep stops.
                tune.report({"disk": f"{reason} on {platform.node()}"})
                time.sleep(_UNTIL_STOPPED)
            if isinstance(error, OSError):
                # A storage that does not answer now may do so in a moment.
                raise
            traceback.print_exc()
            kind = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
            tune.report({"error": f"{kind}{error}".strip().splitlines()[0]})

    return reporting


def accuracies_on_test(trainer: Trainer, oracle: Oracle, prepared: Prepared) -> dict[str, float]:
    """A trained model's accuracies on test, its judge's, and the best that the images allow."""
    ceiling = identifiability_ceiling(prepared.digests, prepared.factors)
    own = trainer.evaluate("test") | oracle.accuracies()
    return own | {"identifiability_ceiling": ceiling}


def scores_on_test(trainer: Trainer, oracle: Oracle, prepared: Prepared) -> dict[str, float]:
    """Everything that is measured of a trained model on test, NaN where undefined."""
    scores = accuracies_on_test(trainer, oracle, prepared)
    threads = trainer.config.runtime.threads
    return scores | disentanglement_scores(trainer, raw=True, n_jobs=threads)


def _train(parameters: dict[str, Any]) -> tuple[Trainer, Oracle, Prepared]:
    config = trial_config(parameters)
    prepared = _open(Path(parameters["prepared"]), config)
    oracle = prepare_oracle(prepared, config.data)
    trainer = Trainer(config, prepared, oracle)
    note = _continue(trainer, checkpoints_of(parameters))
    for report in trainer.fit():
        with _saved(trainer) as folder:
            result = result_of(report, trainer.device) | note
            tune.report(result, checkpoint=tune.Checkpoint(str(folder)))
    return trainer, oracle, prepared


def checkpoints_of(parameters: dict[str, Any]) -> list[Checkpoint]:
    """A trial's checkpoints, the newest first: this session's, then those of earlier ones."""
    last = tune.get_checkpoint()
    earlier = map(Storage(parameters["storage"]).checkpoint, reversed(parameters["checkpoints"]))
    return [*(siblings(last) if last else []), *earlier]


def _continue(trainer: Trainer, checkpoints: list[Checkpoint]) -> dict[str, str]:
    """Load the newest checkpoint that can be read.

    Returns:
        A `note` on those that could not be read; nothing where all is well.

    Raises:
        UserError: There are checkpoints, and none can be read.
    """
    unreadable: list[str] = []
    for checkpoint in checkpoints:
        try:
            with checkpoint.as_directory() as folder:
                trainer.load(Path(folder) / CHECKPOINT_FILE)
        except (UserError, FileNotFoundError) as error:
            unreadable.append(str(error))
            continue
        if not unreadable:
            return {}
        return {"note": f"went on from step {trainer.step}: {'; '.join(unreadable)}"}
    if unreadable:
        raise UserError(f"no checkpoint can be read: {'; '.join(unreadable)}")
    return {}


def result_of(report: Report, device: torch.device) -> dict[str, Any]:
    """A Report as Tune takes it. Metrics that do not exist (yet) are absent, never NaN."""
    metrics = {name: value for name, value in report.metrics.items() if math.isfinite(value)}
    return {
        **metrics,
        "step": report.step,
        "stage": report.stage,
        "seconds": report.seconds,
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
def _saved(trainer: Trainer) -> Iterator[Path]:
    """A temporary folder with the checkpoint, which Tune copies."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        trainer.save(folder / CHECKPOINT_FILE)
        yield folder
