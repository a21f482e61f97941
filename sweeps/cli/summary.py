"""The result of a sweep, printed at its end: scores beside the paper's, files and next steps."""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table
from rich.text import Text

from analysis.serving.model_address import registered_name
from analysis.statistics import Interval, t_interval
from analysis.tables.rendering import format_labels, format_mean, format_value
from sweeps.names import KINDS
from sweeps.results import Best
from sweeps.state.stage import StageRun, Sweep
from sweeps.state.trials import Trials
from sweeps.text import format_count, format_outcomes, format_settings, label_line
from sweeps.tracking.experiments import ui_command
from sweeps.trial import TrialRecord
from weakdis_core import paper
from weakdis_core.config.config import Config
from weakdis_core.pictures.write import FOLDER


def pareto_front(trials: Trials, fixed_labels: int) -> list[tuple[int, float]]:
    """Return labels and best score of complete trials; each score is higher than those before."""
    scores = [
        (int(record.values.get("data.labels", fixed_labels)), record.score or 0.0)
        for record in trials.complete()
    ]
    points: list[tuple[int, float]] = []
    for labels, score in sorted(scores, key=lambda each: (each[0], -each[1])):
        if not points or score > points[-1][1]:
            points.append((labels, score))
    return points


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


def print_summary(
    console: Console, run: StageRun, best: Best, confirmed: Sequence[Confirmed]
) -> None:
    """Print the result of a sweep: scores beside the paper's, its files, and what to do next."""
    sweep, record, ended = run.sweep, best.record, run.trials.ended()
    outcome = "" if record.outcome == "complete" else f" ({record.outcome.replace('_', ' ')})"
    console.print(
        f"\n[bold]{sweep.name}[/bold]: {format_count(len(ended), 'trial')} ended "
        f"({format_outcomes(ended)})\n"
        f"best: trial {record.number}{outcome}, {format_settings(record.values)}",
        highlight=False,
        soft_wrap=True,
    )
    console.print(_accuracies(sweep, best, confirmed))
    oracle = best.test.get("test/oracle_accuracy", math.nan)
    note = (
        "Relation accuracy: share of relations that change the right factor and keep all others. "
        f"Pixels are judged by an oracle that is right on {oracle:.1%} of test images. "
        f"Images: {sweep.base.data.source}. Paper: {paper.load().cite()}. "
    )
    optimistic = "The best of a search has optimistic scores, until fresh seeds confirm it."
    interval = "± is half the width of the 95% t-interval over seeds."
    console.print(note + (interval if confirmed else optimistic), highlight=False)
    points = pareto_front(run.trials, sweep.base.data.labels)
    if len(points) > 1:
        shown = ", ".join(f"{score:.3f} with {labels}" for labels, score in points)
        console.print(f"best on validation by labels: {shown}", highlight=False)
    model = f"models:/{registered_name(sweep.base.data.variant, sweep.base.model.kind)}/latest"
    confirm = {"confirm": f"{sweep.resume_command} --confirm-seeds 5"}
    # `weakdis ui` has no flags for other places.
    usual = sweep.settings.tracking_uri is None and sweep.settings.storage is None
    pictures = {"pictures": os.path.relpath(sweep.folder / FOLDER)}
    steps = {
        **({} if sweep.settings.no_pictures else pictures),
        "new pictures": f"weakdis manipulate --model {model}",
        "model": model,
        "review": "weakdis ui" if usual else ui_command(sweep.settings.tracking),
        **({"tables": "weakdis tables table1"} if confirmed else confirm),
    }
    console.print()
    for label, text in steps.items():
        console.print(Text(label_line(label, text)), soft_wrap=True)


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


def _accuracies(sweep: Sweep, best: Best, confirmed: Sequence[Confirmed]) -> Table:
    """Return a table of relation accuracies: of the search, of fresh seeds, and the paper's."""
    table = Table("relation accuracy", *KINDS, "labels", show_edge=False, pad_edge=False)
    data = sweep.base.data
    labels = format_labels(best.record.values.get("data.labels", data.labels), data.label_draw)
    table.add_row("this sweep, validation", *_cells(best.record.metrics, "val"), labels)
    style = None if confirmed else "bold"
    table.add_row("this sweep, test", *_cells(best.test, "test"), labels, style=style)
    for each in confirmed:
        data, seeds = each.config.data, len(each.runs)
        labels = format_labels(data.labels, data.label_draw)
        table.add_row(f"trial {each.trial.number} on fresh seeds")
        for run in each.runs:
            table.add_row(f"seed {run.values['seed']}, test", *_cells(run.test, "test"), labels)
        means = [format_mean(each.interval(kind)) for kind in KINDS]
        mean = f"mean of {format_count(seeds, 'seed')}, test"
        table.add_row(mean, *means, labels, style="bold")
    for row in paper.load().table1:
        if row.variant == sweep.base.data.variant:
            for name, cell in (("paper", row.this_work), ("previous work", row.previous_work)):
                table.add_row(f"{name}, test", f"{cell.accuracy:.3f}", "-", "-", str(cell.labels))
    return table


def _cells(scores: Mapping[str, float], part: str) -> list[str]:
    """Format the relation accuracies of a part, `val` or `test`, in the order of `KINDS`."""
    found = [scores.get(f"{part}/relation_accuracy_{kind}") for kind in KINDS]
    return [format_value(score, 3) for score in found]
