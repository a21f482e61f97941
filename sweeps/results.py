"""What a sweep found: its best trial evaluated once on test, its tables and its files."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from optuna.study import Study
from rich.console import Console
from rich.table import Table

from sweeps.console import clock, short
from sweeps.launch import Sweep
from sweeps.ledger import Ledger
from sweeps.record import Record
from sweeps.space import KINDS
from sweeps.study import export_study
from sweeps.tracking import Tracking
from sweeps.trainable import CHECKPOINT_FILE
from weakdis_core import paper
from weakdis_core.config import Config
from weakdis_core.data.store import Prepared
from weakdis_core.files import write_text
from weakdis_core.metrics.oracle import Oracle
from weakdis_core.pictures import FOLDER, write_pictures
from weakdis_core.scoring import score_on_test
from weakdis_core.trainer import Trainer

BEST_FILE = "best.yaml"
TRIALS_FILE = "trials.csv"
STUDY_EXPORT = "study.json"
_BEST = "best trial"


@dataclass(frozen=True)
class Best:
    """The best trial.

    Attributes:
        record: What became of it.
        checkpoint: Folder of its last checkpoint, on this machine.
        config: Its settings.
        validation: Its validation scores, as the search saw them.
        test: Its scores on test, evaluated once.
        oracle: The clean accuracy of the judge behind the pixel accuracies.
    """

    record: Record
    checkpoint: Path
    config: Config
    validation: dict[str, float]
    test: dict[str, float]
    oracle: float


def evaluate_best(sweep: Sweep, record: Record, prepared: Prepared, oracle: Oracle) -> Best:
    """Evaluate a trial's checkpoint on test, and write `best.yaml` and its pictures.

    Args:
        sweep: The sweep.
        record: The trial.
        prepared: The variant's images.
        oracle: Judge of decoded pictures.
    """
    config = sweep.base.with_values(record.values)
    config.save(sweep.folder / BEST_FILE)
    trainer = Trainer(config, prepared, oracle)
    if record.checkpoint is None:
        raise ValueError(f"trial {record.trial_id} has no checkpoint")
    checkpoint = sweep.storage.fetch(record.checkpoint, sweep.folder)
    # Trials may have run on GPUs that the driver has not.
    trainer.load(checkpoint / CHECKPOINT_FILE, to_continue=False)
    test = score_on_test(trainer, oracle, prepared)
    write_pictures(trainer, oracle, sweep.folder / FOLDER)
    validation = {
        name.removeprefix("val/"): value
        for name, value in record.metrics.items()
        if name.startswith("val/")
    }
    return Best(record, checkpoint, config, validation, test, oracle.clean_accuracy)


def write_trials(ledger: Ledger, path: Path) -> None:
    """Write every trial as a row of CSV: how it ended, its settings and its last metrics.

    Raises:
        UserError: The file cannot be written.
    """
    records = sorted(ledger.records.values(), key=lambda record: record.number)
    settings = sorted({name for record in records for name in record.values})
    scores = [record.metrics | record.test for record in records]
    metrics = sorted({name for found in scores for name in found})
    columns = ["number", "trial_id", "outcome", "step", "seconds", "score", "error"]
    text = io.StringIO(newline="")
    table = csv.writer(text)
    table.writerow([*columns, *settings, *metrics])
    for record, found in zip(records, scores, strict=True):
        own = [getattr(record, column) for column in columns]
        chosen = [record.values.get(name) for name in settings]
        table.writerow([*own, *chosen, *(found.get(name) for name in metrics)])
    write_text(path, text.getvalue())


def log_tables(sweep: Sweep, study: Study, ledger: Ledger, tracking: Tracking) -> None:
    """Write the tables of the trials into the sweep's folder, and store them with its run.

    Raises:
        UserError: They cannot be written.
    """
    write_trials(ledger, sweep.folder / TRIALS_FILE)
    export_study(study, sweep.folder / STUDY_EXPORT)
    for file in (TRIALS_FILE, STUDY_EXPORT):
        tracking.log_file(None, sweep.folder / file)


def log_best(sweep: Sweep, study: Study, best: Best, tracking: Tracking) -> None:
    """The test scores and the files of the best trial, on its run and on the parent."""
    trial = best.record.trial_id
    test = {f"test/{name}": value for name, value in best.test.items()}
    for run in (trial, None):
        tracking.log_final(run, test, best.record.step)
    tracking.describe(best.record, test)
    earlier = study.user_attrs.get(_BEST, trial)
    if earlier != trial:
        # The best before the sweep was extended.
        tracking.set_tags(earlier, {"best": "false"})
    tracking.set_tags(trial, {"best": "true"})
    tracking.set_tags(None, {"best_trial_id": trial})
    study.set_user_attr(_BEST, trial)
    tracking.add_note(
        f"Best: trial {best.record.number}. A search result of one seed, not a table row."
    )
    for run in (trial, None):
        tracking.log_file(run, sweep.folder / BEST_FILE)
        tracking.log_files(run, sweep.folder / FOLDER, FOLDER)
    tracking.log_files(trial, best.checkpoint, "checkpoint")


def front(ledger: Ledger, fixed_labels: int) -> list[tuple[int, float]]:
    """The front of accuracy against labels: complete trials that none beats with fewer labels.

    Args:
        ledger: Account of the trials.
        fixed_labels: Labels of every trial where their number is not searched.

    Returns:
        (labels, best score) by labels, each score higher than those before.
    """
    best: dict[int, float] = {}
    for record in ledger.complete():
        labels = int(record.values.get("data.labels", fixed_labels))
        best[labels] = max(best.get(labels, 0.0), record.score or 0.0)
    points: list[tuple[int, float]] = []
    for labels in sorted(best):
        if not points or best[labels] > points[-1][1]:
            points.append((labels, best[labels]))
    return points


def print_results(console: Console, sweep: Sweep, ledger: Ledger, best: Best) -> None:
    """Print the best configuration, its scores beside the paper's, and the front."""
    record = best.record
    kinds = [record_.outcome for record_ in ledger.ended()]
    counts = ", ".join(
        f"{kinds.count(kind)} {kind.replace('_', ' ')}" for kind in dict.fromkeys(kinds)
    )
    console.print(f"\n[bold]{sweep.name}[/bold]: {len(kinds)} trials ended ({counts})")
    console.print(
        f"best: trial {record.number} ({record.outcome.replace('_', ' ')}, "
        f"{clock(record.seconds)}), {short(record.values)}",
        highlight=False,
    )
    console.print(_scores(sweep.base.data.variant, best))
    console.print(
        f"A search result of one seed, not a table row. Data: {sweep.base.data.source}. "
        f"Pixel accuracies are judged by an oracle that is right on {best.oracle:.3f} of test "
        f"images. Paper: {paper.load().cite()}.",
        highlight=False,
    )
    points = front(ledger, sweep.base.data.labels)
    if len(points) > 1:
        shown = ", ".join(f"{score:.3f} with {labels}" for labels, score in points)
        console.print(f"validation accuracy against labels: {shown}", highlight=False)
    file = os.path.relpath(best.checkpoint / CHECKPOINT_FILE)
    console.print(
        f"pictures: {sweep.folder / FOLDER}; another: "
        f"python -m weakdis_core manipulate --checkpoint {file}",
        highlight=False,
        soft_wrap=True,
    )


def _scores(variant: str, best: Best) -> Table:
    """The relation accuracies beside the paper's."""
    labels = str(best.config.data.labels)
    table = Table("relation accuracy", *KINDS, "labels")
    table.add_row("this sweep, validation", *score_cells(best.validation), labels)
    table.add_row("this sweep, test", *score_cells(best.test), labels, style="bold")
    add_published(table, variant)
    return table


def add_published(table: Table, variant: str) -> None:
    """Add what the paper reports of a variant to a table of the relation accuracies."""
    for row in paper.load().table1:
        if row.variant != variant:
            continue
        for name, cell in (("paper", row.this_work), ("previous work", row.previous_work)):
            table.add_row(f"{name}, test", f"{cell.accuracy:.3f}", "-", "-", str(cell.labels))


def score_cells(scores: Mapping[str, float]) -> list[str]:
    """The relation accuracies among scores, in the order of `KINDS`, as a table shows them."""
    found = [scores.get(f"relation_accuracy_{kind}") for kind in KINDS]
    return ["-" if score is None else f"{score:.3f}" for score in found]
