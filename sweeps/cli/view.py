"""The console while a sweep runs: a live view in a terminal, else a line for each trial."""

import math
import os
import time

import ray
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from sweeps.cluster.allotment import Allotment
from sweeps.cluster.nodes import working_nodes
from sweeps.compat import log_folder
from sweeps.state.stage import StageRun
from sweeps.text import format_duration, format_settings
from sweeps.trial import WORDS, Listener, TrialRecord

_SHOWN_ENDED = 6
# Seconds until the first notice that no trial has started, and between two of them.
_NOTICE_AFTER = 60.0
_NOTICE_EVERY = 300.0
_STYLES = {
    "running": "cyan",
    "complete": "green",
    "pruned": "dim",
    "failed": "red",
    "out_of_time": "yellow",
    "interrupted": "yellow",
}


def is_interactive(console: Console) -> bool:
    """Check whether a console is a terminal, and not that of a CI job."""
    return console.is_terminal and os.environ.get("CI", "").lower() in ("", "0", "false")


class View(Listener):
    """Shows running trials, the best so far of a search and the time left.

    If no trial starts, it prints why: after a minute, then every five minutes.

    Args:
        console: Where to show them.
        run: The stage of the trials.
        wanted: Most trials to run.
    """

    def __init__(self, console: Console, run: StageRun, wanted: int) -> None:
        self._console = console
        self._run = run
        self._trials = run.trials
        self._wanted = wanted
        self._word = WORDS[run.stage]
        self._live: Live | None = None
        # Trials that ended in an earlier session are not printed again.
        self._printed = {record.trial_id for record in run.trials.ended()}
        # Start of the wait for the first trial, and time of the next notice.
        self._since = 0.0
        self._next = math.inf

    def session_started(self) -> None:
        """Open the live view, and start to wait for the first trial."""
        self._since = time.monotonic()
        self._next = self._since + _NOTICE_AFTER
        if is_interactive(self._console):
            self._live = Live(
                get_renderable=self.render, console=self._console, refresh_per_second=2,
                transient=True,
            )  # fmt: skip
            self._live.start()

    def step_started(self) -> None:
        """Print why no trial starts, if that is due."""
        if (now := time.monotonic()) < self._next:
            return
        self._next = now + _NOTICE_EVERY
        sweep = self._run.sweep
        line = (
            f"{sweep.name}: no trial has started for {now - self._since:.0f} seconds. "
            f"{_describe_wait(sweep.allotment)} The sweep keeps waiting; "
            f"Ctrl-C ends it, and {sweep.resume_command} continues it."
        )
        self._console.print(Text(line), soft_wrap=True)

    def trial_started(self, record: TrialRecord) -> None:
        """End the wait for the first trial."""
        self._next = math.inf

    def trial_ended(self, record: TrialRecord) -> None:
        """Print how trials ended, if there is no live view."""
        self._print_ended()

    def session_ended(self) -> None:
        """Close the live view and print how trials ended."""
        self.close()
        self._print_ended()

    def close(self) -> None:
        """Close the live view, if there is one."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def render(self) -> RenderableType:
        """Return the view at this moment."""
        trials, budget, name = self._trials, self._run.budget, self._run.sweep.name
        head = f"{name}  {len(trials.ended())} of {self._wanted} {self._word}s ended"
        left = f", {format_duration(budget.left)} left" if math.isfinite(budget.left) else ""
        stop = "  stopping..." if budget.interrupted else ""
        lines: list[RenderableType] = [Text(f"{head}{left}{stop}", style="bold")]
        best = trials.best() if self._run.stage == "search" else None
        if best is not None:
            lines.append(Text(f"best so far: trial {summary_line(best)}", style="green"))
        table = Table(self._word, "state", "step", "score", "time", "settings", box=None)
        ended = [record for record in trials.ended() if record is not best][-_SHOWN_ENDED:]
        for record in [*ended, *trials.running()]:
            # As plain text: an error may contain markup.
            table.add_row(*map(Text, _cells(record)), style=_STYLES[record.outcome])
        return Group(*lines, table)

    def _print_ended(self) -> None:
        if self._live is not None or is_interactive(self._console):
            return
        for record in self._trials.ended():
            if record.trial_id not in self._printed:
                self._printed.add(record.trial_id)
                self._console.print(Text(f"{self._word} {summary_line(record)}"), soft_wrap=True)


def summary_line(record: TrialRecord) -> str:
    """Describe a trial in one line."""
    number, state, step, score, duration, values = _cells(record)
    return f"{number} {state}: {score} at step {step}, {duration}, {values}"


def _cells(record: TrialRecord) -> tuple[str, ...]:
    score = "no score yet" if record.score is None else f"{record.score:.3f}"
    running = record.outcome == "running"
    seconds = time.monotonic() - record.started if running else record.seconds
    state = record.stage if running else record.outcome.replace("_", " ")
    settings = format_settings(record.values) + (f" ({record.error})" if record.error else "")
    steps = f"{record.step}/{record.steps}"
    return str(record.number), state, steps, score, format_duration(seconds), settings


def _describe_wait(allotment: Allotment) -> str:
    """Return what Ray has free for a trial, and where to look for why none starts."""
    total = ray.cluster_resources()  # type: ignore[no-untyped-call]
    free = ray.available_resources()  # type: ignore[no-untyped-call]
    needed = {"CPU": allotment.cpus, "GPU": allotment.gpus}
    has = ", ".join(
        f"{free.get(name, 0):g} of {total.get(name, 0):g} {name}s free (a trial takes {amount:g})"
        for name, amount in needed.items()
        if amount
    )
    if any(free.get(name, 0.0) < amount for name, amount in needed.items()):
        why = "Other programs hold the rest, or machines are still to come: see `ray status`."
    else:
        why = f"Ray has not started a process for it; its logs are in {log_folder()}."
    return f"Ray has {has} on {len(working_nodes())} machines. {why}"
