"""What a user sees while a sweep runs: a live view, or a line per trial where nobody watches."""

from __future__ import annotations

import os
import time
from math import isfinite
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from sweeps.events import Listener
from sweeps.record import Record, Stage
from sweeps.stage import StageRun

_SHOWN_ENDED = 6
_STYLES = {
    "running": "cyan",
    "complete": "green",
    "pruned": "dim",
    "failed": "red",
    "out_of_time": "yellow",
    "interrupted": "yellow",
}

WORDS: dict[Stage, str] = {"search": "trial", "confirm": "confirm run", "study": "run"}
"""What a trial is called, by what it is for."""


def watched(console: Console) -> bool:
    """Whether somebody looks at the console: a terminal, and not a CI job's."""
    return console.is_terminal and os.environ.get("CI", "").lower() in ("", "0", "false")


class View(Listener):
    """Shows running trials, the best so far (of a search) and the time left.

    Args:
        console: Where to show them.
        run: Their stage.
        trials: Most trials to run.
    """

    def __init__(self, console: Console, run: StageRun, trials: int) -> None:
        self._console = console
        self._run = run
        self._ledger = run.ledger
        self._trials = trials
        self._word = WORDS[run.stage]
        self._live: Live | None = None
        # Trials that ended in an earlier session are not printed again.
        self._printed = {record.trial_id for record in run.ledger.ended()}

    def session_started(self) -> None:
        """Open the live view."""
        if watched(self._console):
            self._live = Live(
                get_renderable=self.render, console=self._console, refresh_per_second=2,
                transient=True,
            )  # fmt: skip
            self._live.start()

    def trial_ended(self, record: Record) -> None:
        """Without a live view, say how trials ended."""
        self._print_ended()

    def session_ended(self) -> None:
        """Close the live view."""
        self.close()
        self._print_ended()

    def close(self) -> None:
        """Close the live view, if there is one."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def render(self) -> RenderableType:
        """The view of this moment."""
        ledger = self._ledger
        budget, name = self._run.budget, self._run.sweep.name
        head = f"{name}  {len(ledger.ended())} of {self._trials} {self._word}s ended"
        left = f", {clock(budget.left)} left" if isfinite(budget.left) else ""
        stop = "  stopping..." if budget.interrupted else ""
        lines: list[RenderableType] = [Text(f"{head}{left}{stop}", style="bold")]
        best = ledger.best() if self._run.stage == "search" else None
        if best is not None:
            lines.append(Text(f"best so far: trial {line_of(best)}", style="green"))
        table = Table(self._word, "state", "step", "score", "time", "settings", box=None)
        ended = [record for record in ledger.ended() if record is not best][-_SHOWN_ENDED:]
        for record in [*ended, *ledger.running()]:
            # As they are: an error may hold what would be markup.
            cells = map(Text, _cells(record))
            table.add_row(*cells, style=_STYLES[record.outcome])
        return Group(*lines, table)

    def _print_ended(self) -> None:
        if self._live is not None or watched(self._console):
            return
        for record in self._ledger.ended():
            if record.trial_id not in self._printed:
                self._printed.add(record.trial_id)
                line = Text(f"{self._word} {line_of(record)}")
                self._console.print(line, soft_wrap=True)


def line_of(record: Record) -> str:
    """A trial in one line."""
    number, state, step, score, duration, values = _cells(record)
    return f"{number} {state}: {score} at step {step}, {duration}, {values}"


def clock(seconds: float) -> str:
    """`4:05` or `1:04:05`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def short(values: dict[str, Any]) -> str:
    """Settings searched, without their groups: `latent_size=8 lambda=0.21`."""
    return " ".join(
        f"{name.rpartition('.')[2]}={value:.3g}" if isinstance(value, float) else
        f"{name.rpartition('.')[2]}={value}"
        for name, value in values.items()
    )  # fmt: skip


def _cells(record: Record) -> tuple[str, ...]:
    score = "no score yet" if record.score is None else f"{record.score:.3f}"
    running = record.outcome == "running"
    seconds = time.monotonic() - record.started if running else record.seconds
    state = record.stage if running else record.outcome.replace("_", " ")
    told = short(record.values) + (f" ({record.error})" if record.error else "")
    return (str(record.number), state, f"{record.step}/{record.steps}", score, clock(seconds), told)
