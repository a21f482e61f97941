"""The results of a sweep: its best trial scored on test, its tables, files and models."""

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.text import Text

from analysis.serving.model_address import registered_name
from analysis.serving.served import save_served
from sweeps.state.stage import StageRun, Sweep
from sweeps.state.trials import Trials
from sweeps.tracking.outbox import PARENT
from sweeps.tracking.registry import ALIAS
from sweeps.tracking.run_tracker import RunTracker
from sweeps.trainable import CHECKPOINT_FILE
from sweeps.trial import WORDS, Stage, TrialRecord
from weakdis_core.data.prepared import open_prepared
from weakdis_core.errors import UserError
from weakdis_core.evaluation.oracle_cache import prepare_oracle
from weakdis_core.files import write_text
from weakdis_core.pictures.write import FOLDER, write_pictures
from weakdis_core.scores.scoring import score_on_test
from weakdis_core.training.trainer import Trainer

BEST_FILE = "best.yaml"
TRIALS_FILE = "trials.csv"
CONFIRM_TABLE = "confirm.csv"
_MODELS = "models"
_BEST = "best trial"
_PICTURED = "last pictures"
# Trials whose pictures stand side by side in MLflow's UI.
_SHOWN = 4


@dataclass(frozen=True)
class Best:
    """The best trial.

    Attributes:
        record: Its record.
        checkpoint: Folder of its last checkpoint on this machine.
        test: Its scores on test, `test/...`.
    """

    record: TrialRecord
    checkpoint: Path
    test: dict[str, float]


def evaluate_best(sweep: Sweep, record: TrialRecord) -> Best:
    """Score a trial's checkpoint on test, and write `best.yaml` and, if allowed, its pictures."""
    config = sweep.base.with_values(record.values)
    config.save(sweep.folder / BEST_FILE)
    prepared = open_prepared(sweep.prepared)
    oracle = prepare_oracle(prepared, sweep.base.data)
    trainer = Trainer(config, prepared, oracle)
    assert record.checkpoint is not None, f"trial {record.trial_id} has no checkpoint"
    checkpoint = sweep.storage.fetch(record.checkpoint, sweep.folder)
    # Trials may have run on a GPU that this machine does not have.
    trainer.load(checkpoint / CHECKPOINT_FILE, to_continue=False)
    scores = score_on_test(trainer, oracle, prepared)
    if not sweep.settings.no_pictures:
        write_pictures(trainer, oracle, sweep.folder / FOLDER)
    return Best(record, checkpoint, {f"test/{name}": value for name, value in scores.items()})


def write_trials(trials: Trials, path: Path) -> None:
    """Write a row of CSV for every trial: outcome, settings and last metrics.

    Raises:
        UserError: The file cannot be written.
    """
    records = sorted(trials.records.values(), key=lambda record: record.number)
    settings = sorted({name for record in records for name in record.values})
    scores = [record.metrics | record.test for record in records]
    metrics = sorted({name for found in scores for name in found})
    columns = ["number", "trial_id", "outcome", "step", "seconds", "score", "error"]
    text = io.StringIO(newline="")
    table = csv.DictWriter(text, [*columns, *settings, *metrics])
    table.writeheader()
    for record, found in zip(records, scores, strict=True):
        own = {column: getattr(record, column) for column in columns}
        table.writerow(own | record.values | found)
    write_text(path, text.getvalue())


def log_tables(run: StageRun, tracking: RunTracker, console: Console) -> None:
    """Write the table of a stage's trials into the sweep's folder, and log it with its run.

    An error is printed: a full disk must not cost the result.
    """
    file = run.sweep.folder / (TRIALS_FILE if run.stage == "search" else CONFIRM_TABLE)
    try:
        write_trials(run.trials, file)
    except UserError as error:
        console.print(Text(f"tables not written: {error}"))
        return
    tracking.log_files(PARENT, file)


def log_best(run: StageRun, tracking: RunTracker, best: Best) -> None:
    """Log the test scores and files of the best trial with its run and the sweep's."""
    study, folder, trial = run.study, run.sweep.folder, best.record.trial_id
    for key in (trial, PARENT):
        tracking.log_metrics(key, best.test, best.record.step)
    tracking.describe(best.record, best.test)
    earlier = study.user_attrs.get(_BEST, trial)
    if earlier != trial:
        # It was the best before the sweep was extended.
        tracking.set_tags(earlier, {"best": "false"})
    tracking.set_tags(trial, {"best": "true"})
    tracking.set_tags(PARENT, {"best_trial_id": trial})
    study.set_user_attr(_BEST, trial)
    tracking.add_note(
        f"Best: trial {best.record.number}. A search result of one seed, not a table row."
    )
    for key in (trial, PARENT):
        tracking.log_files(key, folder / BEST_FILE)
        tracking.log_files(key, folder / FOLDER, FOLDER)
    tracking.log_files(trial, best.checkpoint, "checkpoint")
    _log_sheets(run, tracking)


def _log_sheets(run: StageRun, tracking: RunTracker) -> None:
    """Log the sheets of the trials with the highest scores, each sheet once."""
    study, sweep = run.study, run.sweep
    logged: dict[str, int] = study.user_attrs.get(_PICTURED, {})
    # Trials that did not reach their last step have pictures of other steps.
    shown = run.trials.complete() or run.trials.ended()
    for record in sorted(shown, key=lambda each: each.score or 0.0, reverse=True)[:_SHOWN]:
        after = logged.get(record.trial_id, -1)
        if record.checkpoint is not None and record.step > after:
            checkpoint = sweep.storage.fetch(record.checkpoint, sweep.folder)
            tracking.log_sheets(record.trial_id, checkpoint, after)
            logged[record.trial_id] = record.step
    study.set_user_attr(_PICTURED, logged)


def log_model(
    sweep: Sweep, tracking: RunTracker, record: TrialRecord, stage: Stage, test: Mapping[str, float]
) -> None:
    """Write a trial's model into the sweep's folder, log it with its run, and register it.

    Args:
        sweep: The sweep.
        tracking: Tracking of the search.
        record: The trial; it has a checkpoint.
        stage: Stage of the trial.
        test: Its scores on test, `test/...`.

    Raises:
        OSError: The disk is full.
    """
    assert record.checkpoint is not None
    # Never rewritten, since an undelivered entry of the outbox may point to it.
    folder = sweep.folder / _MODELS / f"{record.trial_id}-{record.step}"
    if not folder.exists():
        checkpoint = sweep.storage.fetch(record.checkpoint, sweep.folder)
        prepared = open_prepared(sweep.prepared)
        image = prepared.images[len(prepared.images) // 2] / prepared.scale
        if sweep.settings.no_pictures:
            image[:] = 0.5
        folder.parent.mkdir(exist_ok=True)
        save_served(checkpoint / CHECKPOINT_FILE, image.astype(np.float32), folder)
    config = sweep.base.with_values(record.values)
    validation = {name: value for name, value in record.metrics.items() if name.startswith("val/")}
    tags = {"stage": stage, "config_hash": config.hash(), "seed": config.seed}
    name = registered_name(config.data.variant, config.model.kind)
    tracking.log_model(record, folder, name, {**validation, **test}, tags)
    tracking.add_note(
        f"The model of {WORDS[stage]} {record.number} is a version of `{name}` in the registry, "
        f"and `models:/{name}@{ALIAS}` if none of its variant did better on validation."
    )
