"""One training run in this process, with its progress on stderr."""

import sys
from pathlib import Path
from typing import Any

from weakdis_core import presets
from weakdis_core.cli import console
from weakdis_core.config.config import Config
from weakdis_core.config.settings import ModelKind
from weakdis_core.data.prepared import Prepared, prepare
from weakdis_core.errors import UserError
from weakdis_core.evaluation.oracle import Oracle
from weakdis_core.evaluation.oracle_cache import prepare_oracle
from weakdis_core.model import Model
from weakdis_core.presets import PresetName
from weakdis_core.training.terms import TrainingDiverged
from weakdis_core.training.trainer import Report, Trainer

SHOWN = ("factor_accuracy", *(f"relation_accuracy_{k}" for k in ("latent", "encoded", "pixels")))
"""Scores of a report and of a test that are printed."""


def fit(
    variant: str,
    preset: PresetName = "default",
    model: ModelKind = "modular",
    checkpoint: str | Path | None = None,
    **settings: Any,
) -> Model:
    """Train a model, and show its progress on stderr.

    Args:
        variant: Name of a data set variant. Its images are prepared first if the cache lacks them.
        preset: The settings to start from.
        model: Kind of model.
        checkpoint: File to write after each evaluation, which `load` opens; None writes none.
        settings: Values of settings, with `__` for the dot of a name: `training__steps=300`.

    Raises:
        UserError: A setting is invalid, the file exists, or training diverges.
    """
    file = None if checkpoint is None else Path(checkpoint)
    if file is not None and file.exists():
        raise UserError(f"checkpoint: {file} exists; load it or choose another file")
    changes = {name.replace("__", "."): value for name, value in settings.items()}
    config = presets.preset(preset, variant, model).with_values(changes)
    trainer = Trainer(*prepare_all(config))
    try:
        with console.progress(f"{variant} training") as advance:
            for report in trainer.fit():
                if file is not None:
                    trainer.save(file)
                advance(report.step, config.training.steps)
                print(describe_report(report), file=sys.stderr)
    except TrainingDiverged as error:
        raise UserError(str(error)) from None
    return trainer.model


def prepare_all(config: Config) -> tuple[Config, Prepared, Oracle]:
    """Prepare the images and the oracle; return them with the settings, their source resolved."""
    with console.progress(f"{config.data.variant} images") as progress:
        prepared = prepare(config.data, config.runtime.data_dir, progress)
    with console.progress(f"{config.data.variant} oracle") as progress:
        oracle = prepare_oracle(prepared, config.data, progress=progress)
    return config.with_values({"data.source": prepared.source}), prepared, oracle


def describe_report(report: Report) -> str:
    """Describe a report of training in one line."""
    parts = [
        f"step {report.step} ({report.stage}, {report.seconds:.0f} s)",
        f"reconstruction {report.metrics['train/reconstruction']:.1f} nats",
    ]
    for name in SHOWN:
        if (value := report.metrics.get(f"val/{name}")) is not None:
            parts.append(f"{words(name)} {value:.3f}")
    return ", ".join(parts)


def words(name: str) -> str:
    """Return a score's name in words."""
    return name.replace("relation_accuracy_", "").replace("_", " ")
