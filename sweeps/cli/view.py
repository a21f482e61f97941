"""The console while a sweep runs: a live view in a terminal, else a line for each trial."""

import math
import time
from statistics import fmean

import ray
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from sweeps.cli.trial_table import describe_score, summary_line, trial_table
from sweeps.cluster.allotment import Allotment
from sweeps.cluster.nodes import working_nodes
from sweeps.compat import log_folder
from sweeps.state.stage import StageRun
from sweeps.text import format_duration, format_outcomes, format_settings, label_line
from sweeps.trial import WORDS, Listener, TrialRecord
from weakdis_core.cli.console import is_interactive

_SHOWN_ENDED = 6
# Seconds until the first notice that no trial has started, and between two of them.
_NOTICE_AFTER = 60.0
_NOTICE_EVERY = 300.0


class View(Listener):
    """Shows a stage while it runs: its trials, the best so far of a search, and the time left.

    If no trial starts, it prints why: after a minute, then every five minutes.

    Args:
        console: Where to show them.
        run: The stage of the trials.
        wanted: Most trials to run.

    Attributes:
        live: The live view; None without a terminal.
    """

    def __init__(self, console: Console, run: StageRun, wanted: int) -> None:
        self._console = console
        self._run = run
        self._trials = run.trials
        self._wanted = wanted
        self._word = WORDS[run.stage]
        # Trials that ended in an earlier session are not printed again.
        self._printed = {record.trial_id for record in run.trials.ended()}
        # Start of the wait for the first trial, and time of the next notice.
        self._opened = self._since = time.monotonic()
        self._next = math.inf
        self.live: Live | None = None
        if is_interactive(console):
            # It renders at once.
            self.live = Live(
                get_renderable=self.render, console=console, refresh_per_second=2, transient=True
            )

    def session_started(self) -> None:
        """Start to wait for the first trial."""
        self._since = time.monotonic()
        self._next = self._since + _NOTICE_AFTER

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
        self.session_ended()

    def session_ended(self) -> None:
        """Print how trials ended, if there is no live view."""
        for record in self._trials.ended():
            if self.live is None and record.trial_id not in self._printed:
                self._printed.add(record.trial_id)
                self._console.print(Text(f"{self._word} {summary_line(record)}"), soft_wrap=True)

    def describe_best(self) -> str:
        """Describe the best trial so far of a search; of other stages, how runs ended."""
        best = self._trials.best()
        if self._run.stage != "search" or best is None:
            return f"{self._word}s: {format_outcomes(self._trials.ended()) or 'none'}"
        return describe_score(best, best.score, self._run.sweep.settings.objective)

    def render(self) -> RenderableType:
        """Return the view at this moment."""
        run, ended, running = self._run, self._trials.ended(), self._trials.running()
        spent = format_duration(time.monotonic() - self._opened)
        head = f"{spent:>5}  {len(ended)} of {self._wanted} {self._word}s ended{self._time_left()}"
        command = f"stops; continue with:\n{label_line('', run.sweep.resume_command)}"
        lines = [label_line(run.stage, head)]
        if (best := self._trials.best()) is not None and run.stage == "search":
            settings = label_line("", format_settings(best.values))
            lines.append(f"{label_line('best so far', self.describe_best())}\n{settings}")
        lines.append(label_line("Ctrl-C", "stopping ..." if run.budget.interrupted else command))
        shown = [*running, *reversed(ended[-_SHOWN_ENDED:])]
        table = trial_table(shown, self._word) if shown else Text("waiting for the first trial")
        # The terminal writes ^C where the view ends: on a line of its own it moves nothing.
        return Group(*map(Text, lines), Text(), table, Text())

    def _time_left(self) -> str:
        """Return the time left at most, and as estimated from trials that ended or train."""
        ended, running = self._trials.ended(), self._trials.running()
        took = [each.seconds for each in ended if each.step]
        took = took or [each.steps / each.rate for each in running if each.rate]
        spent = sum(time.monotonic() - each.started for each in running)
        rest = fmean(took or [0.0]) * (self._wanted - len(ended)) - spent
        about, limit = rest / self._run.sweep.allotment.concurrent, self._run.budget.left
        parts = [f"about {format_duration(min(about, limit))} left"] if about >= 1 else []
        parts += [f"at most {format_duration(limit)}"] if math.isfinite(limit) else []
        return f"; {', '.join(parts)}" if parts else ""


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
