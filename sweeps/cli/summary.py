"""What a sweep found, printed beside what the paper reports."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from analysis.statistics import Interval, t_interval
from analysis.tables.rendering import format_mean
from sweeps.names import KINDS
from sweeps.results import Best
from sweeps.state.ledger import Ledger
from sweeps.state.stage import StageRun, Sweep
from sweeps.text import format_duration, format_settings
from sweeps.trainable import CHECKPOINT_FILE
from sweeps.trial import TrialRecord
from weakdis_core import paper
from weakdis_core.config.config import Config
from weakdis_core.pictures.write import FOLDER


def front(ledger: Ledger, fixed_labels: int) -> list[tuple[int, float]]:
    """The front of accuracy against labels: complete trials that none beats with fewer labels.

    Where the number of labels is not searched it is `fixed_labels`.

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


def print_results(console: Console, run: StageRun, best: Best) -> None:
    """Print the best configuration, its scores beside the paper's, and the front."""
    sweep, ledger, record = run.sweep, run.ledger, best.record
    ends = Counter(ended.outcome.replace("_", " ") for ended in ledger.ended())
    counts = ", ".join(f"{number} {end}" for end, number in ends.items())
    console.print(f"\n[bold]{sweep.name}[/bold]: {ends.total()} trials ended ({counts})")
    console.print(
        f"best: trial {record.number} ({record.outcome.replace('_', ' ')}, "
        f"{format_duration(record.seconds)}), {format_settings(record.values)}",
        highlight=False,
    )
    labels = int(record.values.get("data.labels", sweep.base.data.labels))
    rows = {
        "this sweep, validation": _cells(record.metrics, "val"),
        "this sweep, test": _cells(best.test, "test"),
    }
    _print_accuracies(console, sweep, rows, labels)
    console.print(
        f"A search result of one seed, not a table row. {_origin(sweep, best.oracle)}",
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


@dataclass(frozen=True)
class Confirmed:
    """A configuration and the confirm runs that reached their end.

    Attributes:
        trial: The search's trial of this configuration.
        config: Its settings.
        runs: One a seed.
    """

    trial: TrialRecord
    config: Config
    runs: list[TrialRecord]

    def interval(self, kind: str) -> Interval:
        """A relation accuracy's mean over the seeds with its 95% t-interval."""
        name = f"test/relation_accuracy_{kind}"
        return t_interval([run.test.get(name, math.nan) for run in self.runs])

    def note(self) -> str:
        """The configuration and its means in one line."""
        parts = ", ".join(f"{kind} {format_mean(self.interval(kind))}" for kind in KINDS)
        return f"Config {self.config.hash()} on {len(self.runs)} fresh seeds: {parts}."


def print_confirmed(console: Console, sweep: Sweep, confirmed: Confirmed) -> None:
    """Print a configuration's accuracies on test: each seed's, their mean, and the paper's."""
    seeds = len(confirmed.runs)
    console.print(
        f"\n[bold]confirmed[/bold] on fresh seeds: config {confirmed.config.hash()} "
        f"(trial {confirmed.trial.number}), {format_settings(confirmed.trial.values)}",
        highlight=False,
    )
    rows = {f"seed {run.values['seed']}, test": _cells(run.test, "test") for run in confirmed.runs}
    means = [format_mean(confirmed.interval(kind)) for kind in KINDS]
    rows[f"mean of {seeds} seed{'s' * (seeds > 1)}, test"] = means
    _print_accuracies(console, sweep, rows, confirmed.config.data.labels)


def print_notes(console: Console, sweep: Sweep, confirmed: Confirmed) -> None:
    """Print what the numbers of a confirmed configuration mean."""
    oracle = confirmed.runs[0].test.get("test/oracle_accuracy", math.nan)
    console.print(
        f"± is half the width of the 95% t-interval over seeds. {_origin(sweep, oracle)} "
        "`python -m analysis table1` shows these runs.",
        highlight=False,
    )


def print_missing(console: Console, runs: list[TrialRecord], asked: int) -> None:
    """Print which of the runs asked for have no result and why."""
    complete = sum(run.outcome == "complete" for run in runs)
    if complete == asked:
        return
    console.print(f"{complete} of {asked} confirm runs reached their end", highlight=False)
    for run in runs:
        if run.outcome != "complete":
            line = f"seed {run.values['seed']} {run.outcome}" + (run.error and f": {run.error}")
            console.print(line, highlight=False, markup=False)


def _print_accuracies(
    console: Console, sweep: Sweep, rows: Mapping[str, list[str]], labels: int
) -> None:
    """Print rows of relation accuracies, the last one in bold, and the paper's below them."""
    table = Table("relation accuracy", *KINDS, "labels")
    last = list(rows)[-1]
    for name, cells in rows.items():
        table.add_row(name, *cells, str(labels), style="bold" if name == last else None)
    for row in paper.load().table1:
        if row.variant != sweep.base.data.variant:
            continue
        for name, cell in (("paper", row.this_work), ("previous work", row.previous_work)):
            table.add_row(f"{name}, test", f"{cell.accuracy:.3f}", "-", "-", str(cell.labels))
    console.print(table)


def _cells(scores: Mapping[str, float], part: str) -> list[str]:
    """The relation accuracies of a part, `val` or `test`, in the order of `KINDS`."""
    found = [scores.get(f"{part}/relation_accuracy_{kind}") for kind in KINDS]
    return ["-" if score is None else f"{score:.3f}" for score in found]


def _origin(sweep: Sweep, oracle: float) -> str:
    return (
        f"Data: {sweep.base.data.source}. Pixel accuracies are judged by an oracle that is "
        f"right on {oracle:.3f} of test images. Paper: {paper.load().cite()}."
    )
