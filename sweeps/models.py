"""The best models of a sweep, for MLflow's registry."""

from __future__ import annotations

import numpy as np

from analysis.models import registered_name
from analysis.served import save_served
from sweeps.launch import Sweep
from sweeps.ledger import Ledger
from sweeps.record import Record, Stage
from sweeps.registry import ALIAS, SELECTED_BY
from sweeps.tracking import Tracking
from sweeps.trainable import CHECKPOINT_FILE
from weakdis_core.data.store import open_prepared

_FOLDER = "models"


def log_model(
    sweep: Sweep, record: Record, stage: Stage, tracking: Tracking, test: dict[str, float]
) -> None:
    """Write a trial's model into the sweep's folder, store it with its run, and register it.

    Args:
        sweep: The sweep.
        record: The trial; it has a checkpoint.
        stage: What it was for.
        tracking: Tells MLflow.
        test: Its scores on test, `test/...`.

    Raises:
        OSError: The disk is full.
    """
    assert record.checkpoint is not None
    # Of one step there is one model: what waits to be delivered stays as it is.
    folder = sweep.folder / _FOLDER / f"{record.trial_id}-{record.step}"
    if not folder.exists():
        checkpoint = sweep.storage.fetch(record.checkpoint, sweep.folder)
        prepared = open_prepared(sweep.prepared)
        image = prepared.images[len(prepared.images) // 2] / prepared.scale
        folder.parent.mkdir(exist_ok=True)
        save_served(checkpoint / CHECKPOINT_FILE, image.astype(np.float32), folder)
    config = sweep.base.with_values(record.values)
    validation = {name: value for name, value in record.metrics.items() if name.startswith("val/")}
    tags = {"stage": stage, "config_hash": config.hash(), "seed": config.seed}
    name = registered_name(config.data.variant)
    tracking.log_model(record, folder, name, validation | test, tags)
    tracking.add_note(
        f"The model of {'trial' if stage == 'search' else 'confirm run'} {record.number} is a "
        f"version of `{name}` in the registry, and `models:/{name}@{ALIAS}` if none of its "
        "variant did better on validation."
    )


def best_confirm_run(ledger: Ledger) -> Record | None:
    """The confirm run that does best on validation: its score on test is for the tables."""
    runs = [run for run in ledger.complete() if run.checkpoint is not None]
    return max(runs, key=lambda run: run.metrics.get(SELECTED_BY, 0.0), default=None)
