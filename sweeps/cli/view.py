"""What a user sees while a sweep runs: a live view, or a line per trial where nobody watches."""

from __future__ import annotations

import os
import time
from math import isfinite

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from sweeps.state.stage import StageRun
from sweeps.text import format_duration, format_settings
from sweeps.trial import WORDS, Listener, TrialRecord

_SHOWN_ENDED = 6
_STYLES = {
    "running": "cyan",
    "complete": "green",
    "pruned": "dim",
    "failed": "red",
    "out_of_time": "yellow",
    "interrupted": "yellow",
}


def is_interactive(console: Console) -> bool:
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
        if is_interactive(self._console):
            self._live = Live(
                get_renderable=self.render, console=self._console, refresh_per_second=2,
                transient=True,
            )  # fmt: skip
            self._live.start()

    def trial_ended(self, record: TrialRecord) -> None:
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
        left = f", {format_duration(budget.left)} left" if isfinite(budget.left) else ""
        stop = "  stopping..." if budget.interrupted else ""
        lines: list[RenderableType] = [Text(f"{head}{left}{stop}", style="bold")]
        best = ledger.best() if self._run.stage == "search" else None
        if best is not None:
            lines.append(Text(f"best so far: trial {summary_line(best)}", style="green"))
        table = Table(self._word, "state", "step", "score", "time", "settings", box=None)
        ended = [record for record in ledger.ended() if record is not best][-_SHOWN_ENDED:]
        for record in [*ended, *ledger.running()]:
            # As they are: an error may hold what would be markup.
            cells = map(Text, _cells(record))
            table.add_row(*cells, style=_STYLES[record.outcome])
        return Group(*lines, table)

    def _print_ended(self) -> None:
        if self._live is not None or is_interactive(self._console):
            return
        for record in self._ledger.ended():
            if record.trial_id not in self._printed:
                self._printed.add(record.trial_id)
                line = Text(f"{self._word} {summary_line(record)}")
                self._console.print(line, soft_wrap=True)


def summary_line(record: TrialRecord) -> str:
    """A trial in one line."""
    number, state, step, score, duration, values = _cells(record)
    return f"{number} {state}: {score} at step {step}, {duration}, {values}"


def _cells(record: TrialRecord) -> tuple[str, ...]:
    score = "no score yet" if record.score is None else f"{record.score:.3f}"
    running = record.outcome == "running"
    seconds = time.monotonic() - record.started if running else record.seconds
    state = record.stage if running else record.outcome.replace("_", " ")
    told = format_settings(record.values) + (f" ({record.error})" if record.error else "")
    return (
        str(record.number),
        state,
        f"{record.step}/{record.steps}",
        score,
        format_duration(seconds),
        told,
    )
