"""What a confirmation found: its numbers on test, as they are printed beside the paper's."""

from __future__ import annotations

import math
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from analysis.statistics import Interval, t_interval
from analysis.text import mean
from sweeps.console import short
from sweeps.launch import Sweep
from sweeps.record import Record
from sweeps.results import add_published, score_cells
from sweeps.space import KINDS
from weakdis_core import paper


@dataclass(frozen=True)
class Confirmed:
    """A configuration and the confirm runs that reached their end.

    Attributes:
        trial: The search's trial of this configuration.
        config_hash: What identifies it, in the tables too.
        labels: Size of its labelled subset.
        runs: One a seed.
    """

    trial: Record
    config_hash: str
    labels: int
    runs: list[Record]

    def interval(self, kind: str) -> Interval:
        """A relation accuracy's mean over the seeds with its 95% t-interval."""
        name = f"test/relation_accuracy_{kind}"
        return t_interval([run.test.get(name, math.nan) for run in self.runs])


def print_confirmed(console: Console, sweep: Sweep, confirmed: Confirmed) -> None:
    """Print a configuration's accuracies on test: each seed's, their mean, and the paper's."""
    seeds = len(confirmed.runs)
    console.print(
        f"\n[bold]confirmed[/bold] on fresh seeds: config {confirmed.config_hash} "
        f"(trial {confirmed.trial.number}), {short(confirmed.trial.values)}",
        highlight=False,
    )
    table = Table("relation accuracy", *KINDS, "labels")
    labels = str(confirmed.labels)
    for run in confirmed.runs:
        scores = {name.removeprefix("test/"): value for name, value in run.test.items()}
        table.add_row(f"seed {run.values['seed']}, test", *score_cells(scores), labels)
    means = [mean(confirmed.interval(kind)) for kind in KINDS]
    table.add_row(f"mean of {seeds} seed{'s' * (seeds > 1)}, test", *means, labels, style="bold")
    add_published(table, sweep.base.data.variant)
    console.print(table)


def print_notes(console: Console, sweep: Sweep, confirmed: Confirmed) -> None:
    """Print what the numbers of a confirmed configuration mean."""
    oracle = confirmed.runs[0].test.get("test/oracle_accuracy", math.nan)
    console.print(
        "± is half the width of the 95% t-interval over seeds. "
        f"Data: {sweep.base.data.source}. Pixel accuracies are judged by an oracle that is "
        f"right on {oracle:.3f} of test images. Paper: {paper.load().cite()}. "
        "`python -m analysis table1` shows these runs.",
        highlight=False,
    )


def print_missing(console: Console, runs: list[Record], asked: int) -> None:
    """Say which of the runs asked for have no result and why."""
    complete = sum(run.outcome == "complete" for run in runs)
    if complete == asked:
        return
    console.print(f"{complete} of {asked} confirm runs reached their end", highlight=False)
    for run in runs:
        if run.outcome != "complete":
            line = f"seed {run.values['seed']} {run.outcome}" + (run.error and f": {run.error}")
            console.print(line, highlight=False, markup=False)


def note(confirmed: Confirmed) -> str:
    """A confirmed configuration in one line."""
    parts = ", ".join(f"{kind} {mean(confirmed.interval(kind))}" for kind in KINDS)
    return f"Config {confirmed.config_hash} on {len(confirmed.runs)} fresh seeds: {parts}."
