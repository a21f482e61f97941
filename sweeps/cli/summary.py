"""The result of a sweep, printed beside the numbers of the paper."""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from analysis.statistics import Interval, t_interval
from analysis.tables.rendering import format_mean
from sweeps.names import KINDS
from sweeps.results import Best
from sweeps.state.stage import StageRun, Sweep
from sweeps.state.trials import Trials
from sweeps.text import format_duration, format_outcomes, format_settings
from sweeps.trainable import CHECKPOINT_FILE
from sweeps.trial import TrialRecord
from weakdis_core import paper
from weakdis_core.config.config import Config
from weakdis_core.pictures.write import FOLDER


def pareto_front(trials: Trials, fixed_labels: int) -> list[tuple[int, float]]:
    """Return the Pareto front of score against labels, over complete trials.

    Args:
        trials: The trials.
        fixed_labels: Number of labels, if it is not searched.

    Returns:
        Labels and best score, by labels; each score is higher than those before.
    """
    scores = [
        (int(record.values.get("data.labels", fixed_labels)), record.score or 0.0)
        for record in trials.complete()
    ]
    points: list[tuple[int, float]] = []
    for labels, score in sorted(scores, key=lambda each: (each[0], -each[1])):
        if not points or score > points[-1][1]:
            points.append((labels, score))
    return points


def print_results(console: Console, run: StageRun, best: Best) -> None:
    """Print the best configuration, its scores beside the paper's, and the front."""
    sweep, trials, record = run.sweep, run.trials, best.record
    ended = trials.ended()
    outcomes = format_outcomes(ended)
    console.print(f"\n[bold]{sweep.name}[/bold]: {len(ended)} trials ended ({outcomes})")
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
        f"A search result of one seed, not a table row. {_origin(sweep, best.test)}",
        highlight=False,
    )
    points = pareto_front(trials, sweep.base.data.labels)
    if len(points) > 1:
        shown = ", ".join(f"{score:.3f} with {labels}" for labels, score in points)
        console.print(f"validation accuracy against labels: {shown}", highlight=False)
    file = os.path.relpath(best.checkpoint / CHECKPOINT_FILE)
    console.print(
        f"pictures: {sweep.folder / FOLDER}; to draw more: "
        f"python -m weakdis_core manipulate --checkpoint {file}",
        highlight=False,
        soft_wrap=True,
    )


@dataclass(frozen=True)
class Confirmed:
    """A configuration and its complete confirm runs.

    Attributes:
        trial: The search's trial of this configuration.
        config: Its settings.
        runs: Its runs, one for each seed.
    """

    trial: TrialRecord
    config: Config
    runs: list[TrialRecord]

    def interval(self, kind: str) -> Interval:
        """Return the mean of a relation accuracy over the seeds, with its 95% t-interval."""
        name = f"test/relation_accuracy_{kind}"
        return t_interval([run.test.get(name, math.nan) for run in self.runs])

    def note(self) -> str:
        """Describe the configuration and its means in one line."""
        parts = ", ".join(f"{kind} {format_mean(self.interval(kind))}" for kind in KINDS)
        return f"Config {self.config.hash()} on {len(self.runs)} fresh seeds: {parts}."


def print_confirmed(console: Console, sweep: Sweep, confirmed: Sequence[Confirmed]) -> None:
    """Print accuracies on test of each configuration: of each seed, their mean, and the paper's."""
    for each in confirmed:
        seeds = len(each.runs)
        console.print(
            f"\n[bold]confirmed[/bold] on fresh seeds: config {each.config.hash()} "
            f"(trial {each.trial.number}), {format_settings(each.trial.values)}",
            highlight=False,
        )
        rows = {f"seed {run.values['seed']}, test": _cells(run.test, "test") for run in each.runs}
        means = [format_mean(each.interval(kind)) for kind in KINDS]
        rows[f"mean of {seeds} seed{'s' * (seeds > 1)}, test"] = means
        _print_accuracies(console, sweep, rows, each.config.data.labels)
    origin = _origin(sweep, confirmed[0].runs[0].test)
    console.print(
        f"± is half the width of the 95% t-interval over seeds. {origin} "
        "`python -m analysis table1` shows these runs.",
        highlight=False,
    )


def print_missing(console: Console, runs: list[TrialRecord], asked: int) -> None:
    """Print which of the runs asked for have no result, and why."""
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
    """Print rows of relation accuracies, the last in bold, and the paper's rows below."""
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
    """Format the relation accuracies of a part, `val` or `test`, in the order of `KINDS`."""
    found = [scores.get(f"{part}/relation_accuracy_{kind}") for kind in KINDS]
    return ["-" if score is None else f"{score:.3f}" for score in found]


def _origin(sweep: Sweep, test: Mapping[str, float]) -> str:
    oracle = test.get("test/oracle_accuracy", math.nan)
    return (
        f"Data: {sweep.base.data.source}. Pixel accuracies are judged by an oracle that is "
        f"right on {oracle:.3f} of test images. Paper: {paper.load().cite()}."
    )
