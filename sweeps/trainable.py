"""The functions that Ray runs in its worker processes: one call trains one trial."""

import functools
import math
import platform
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from ray import tune
from ray.tune import Checkpoint

from sweeps.cluster.own_pictures import prepare_pictures
from sweeps.cluster.storage import Storage, list_session_checkpoints
from sweeps.cluster.storage_errors import disk_error
from weakdis_core.config.config import validated
from weakdis_core.data.prepared import Prepared
from weakdis_core.devices import processor
from weakdis_core.errors import UserError
from weakdis_core.evaluation.oracle import Oracle
from weakdis_core.evaluation.oracle_cache import prepare_oracle
from weakdis_core.files import temporary_folder
from weakdis_core.pictures.sheet import SHEETS, draw_sheet
from weakdis_core.scores.scoring import score_on_test
from weakdis_core.training.trainer import Trainer

Trainable = Callable[[dict[str, Any]], object]

CHECKPOINT_FILE = "checkpoint.pt"
CONFIG_FILE = "config.yaml"
# Seconds; the sweep stops such a trial within moments.
_UNTIL_STOPPED = 3600


class Trained(NamedTuple):
    """A trained trial.

    Attributes:
        trainer: Its trainer.
        oracle: The oracle of its images.
        prepared: Its images.
        sheets: Pictures of the model at each report, by the name of their file.
    """

    trainer: Trainer
    oracle: Oracle
    prepared: Prepared
    sheets: dict[str, bytes]


def train_trial(parameters: dict[str, Any]) -> Trained:
    """Train one trial from its newest readable checkpoint; report evaluations with checkpoints.

    A process trains one trial after another and keeps no state between them: the Trainer seeds its
    generators from the config, sets the threads and builds new networks, and the images are a
    memory map.

    Args:
        parameters: The trial's `config`, the paths of its `checkpoints` from earlier sessions,
            the root of their `storage`, and `pictures`, whether checkpoints hold pictures.

    Raises:
        UserError: The values drawn do not fit together, or the data cannot be opened.
    """
    config = validated(parameters["config"])
    # A machine without the prepared images fetches or makes them.
    storage = Storage(parameters["storage"])
    prepared = prepare_pictures(config.data, config.runtime.data_dir, storage)
    oracle = prepare_oracle(prepared, config.data)
    trainer = Trainer(config, prepared, oracle)
    note, sheets = _continue(trainer, checkpoints_of(parameters))
    if parameters["pictures"]:
        sheets[f"{trainer.step}.jpg"] = draw_sheet(trainer)
    for report in trainer.fit():
        result = {"step": report.step, "stage": report.stage, "seconds": report.seconds}
        result |= _finite(report.metrics) | _machine(trainer.device) | note
        if parameters["pictures"]:
            sheets[f"{trainer.step}.jpg"] = draw_sheet(trainer)
        with _saved(trainer, sheets) as folder:
            tune.report(result, checkpoint=tune.Checkpoint(str(folder)))
    return Trained(trainer, oracle, prepared, sheets)


def train_and_score(parameters: dict[str, Any]) -> None:
    """Train a trial, then score it once on test and report the scores.

    Args:
        parameters: Those of `train_trial`, and `disentanglement`, for `score_on_test`. Without
            `keep_files` no checkpoint, settings and pictures of the end are kept.
    """
    trainer, oracle, prepared, sheets = train_trial(parameters)
    started = time.perf_counter()
    scores = score_on_test(trainer, oracle, prepared, parameters["disentanglement"])
    result = _finite({f"test/{name}": value for name, value in scores.items()})
    result |= {"cpu_seconds": trainer.cpu_seconds, "scoring_seconds": time.perf_counter() - started}
    result |= {"step": trainer.step, "stage": "test", **_machine(trainer.device)}
    if not parameters["keep_files"]:
        tune.report(result)
        return
    with _saved(trainer, sheets) as folder:
        trainer.config.save(folder / CONFIG_FILE)
        if parameters["pictures"]:
            # Loading matplotlib takes a second, and other trials do not need it.
            from weakdis_core.pictures.write import FOLDER, write_pictures

            write_pictures(trainer, oracle, folder / FOLDER)
        tune.report(result, checkpoint=tune.Checkpoint(str(folder)))


def reporting_errors(trainable: Trainable) -> Trainable:
    """Return a trainable that reports its errors instead of raising them.

    Tune retries a trial that raises, as it does one whose process died, but the same error would
    come again. An OSError is raised: the storage may answer the next time.
    """

    @functools.wraps(trainable)
    def reporting(parameters: dict[str, Any]) -> None:
        try:
            trainable(parameters)
        except Exception as error:
            if (reason := disk_error(error)) is not None:
                # Every other trial would fail too: the sweep stops.
                tune.report({"disk": f"{reason} on {platform.node()}"})
                time.sleep(_UNTIL_STOPPED)
            if isinstance(error, OSError):
                raise
            traceback.print_exc()
            kind = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
            tune.report({"error": f"{kind}{error}".strip().splitlines()[0]})

    return reporting


def checkpoints_of(parameters: dict[str, Any]) -> list[Checkpoint]:
    """Return a trial's checkpoints, the newest first: of this session, then of earlier ones."""
    last = tune.get_checkpoint()
    earlier = map(Storage(parameters["storage"]).checkpoint, reversed(parameters["checkpoints"]))
    return [*(list_session_checkpoints(last) if last else []), *earlier]


def _continue(
    trainer: Trainer, checkpoints: list[Checkpoint]
) -> tuple[dict[str, str], dict[str, bytes]]:
    """Load the newest readable checkpoint, if any.

    Returns:
        A `note` about unreadable checkpoints, and the sheets of the one that was read.

    Raises:
        UserError: There are checkpoints, and none can be read.
    """
    unreadable: list[str] = []
    sheets: dict[str, bytes] = {}
    for checkpoint in checkpoints:
        try:
            with checkpoint.as_directory() as folder:
                trainer.load(Path(folder) / CHECKPOINT_FILE)
                sheets = {file.name: file.read_bytes() for file in Path(folder, SHEETS).glob("*")}
            break
        except (UserError, FileNotFoundError) as error:
            unreadable.append(str(error))
    reasons = "; ".join(unreadable)
    if unreadable and len(unreadable) == len(checkpoints):
        raise UserError(f"no checkpoint can be read: {reasons}")
    note = {"note": f"went on from step {trainer.step}: {reasons}"} if unreadable else {}
    return note, sheets


def _finite(metrics: Mapping[str, float]) -> dict[str, Any]:
    # Metrics that do not exist yet are absent, never NaN.
    return {name: value for name, value in metrics.items() if math.isfinite(value)}


def _machine(device: torch.device) -> dict[str, str]:
    """Return the device and machine of a run, for its tags."""
    cuda = device.type == "cuda"
    name = torch.cuda.get_device_name(device) if cuda else f"cpu {platform.machine()}"
    return {"device": name, "machine": processor()}


@contextmanager
def _saved(trainer: Trainer, sheets: Mapping[str, bytes]) -> Iterator[Path]:
    """Save a checkpoint in a temporary folder, from which Tune copies it."""
    with temporary_folder("weakdis-checkpoint-") as folder:
        trainer.save(folder / CHECKPOINT_FILE)
        (folder / SHEETS).mkdir()
        for name, sheet in sheets.items():
            (folder / SHEETS / name).write_bytes(sheet)
        yield folder
