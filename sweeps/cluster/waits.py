"""What a sweep waits for, printed where it waits for long."""

from __future__ import annotations

import math
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import ray
from rich.console import Console
from rich.text import Text

from sweeps.cluster.allotment import Allotment
from sweeps.cluster.nodes import working_nodes
from sweeps.compat import log_folder
from sweeps.trial import Listener, TrialRecord

_NOTICE_AFTER = 60.0
_NOTICE_EVERY = 300.0


class WaitNotice(Listener):
    """Prints what a sweep waits for if no trial starts within a minute, then every five minutes.

    Args:
        console: Where to print.
        sweep: Name of the sweep.
        allotment: What a trial gets.
        resume_command: The command that continues the sweep.
    """

    def __init__(
        self, console: Console, sweep: str, allotment: Allotment, resume_command: str
    ) -> None:
        self._console = console
        self._sweep = sweep
        self._allotment = allotment
        self._resume_command = resume_command
        self._next = math.inf
        self._since = 0.0

    def session_started(self) -> None:
        """Start to wait for the first trial."""
        self._since = time.monotonic()
        self._next = self._since + _NOTICE_AFTER

    def trial_started(self, record: TrialRecord) -> None:
        """End the wait."""
        self._next = math.inf

    def step_started(self) -> None:
        """Print a notice when one is due."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + _NOTICE_EVERY
        waited = f"no trial has started for {now - self._since:.0f} seconds"
        text = (
            f"{self._sweep}: {waited}. {describe_wait(self._allotment)} The sweep waits on; "
            f"Ctrl-C ends it, and {self._resume_command} goes on with it."
        )
        self._console.print(Text(text), soft_wrap=True)


def describe_wait(allotment: Allotment) -> str:
    """What Ray has for a trial, and where to look for the reason that none starts."""
    total = ray.cluster_resources()  # type: ignore[no-untyped-call]
    free = ray.available_resources()  # type: ignore[no-untyped-call]
    asked = {"CPU": allotment.cpus, "GPU": allotment.gpus}
    has = ", ".join(
        f"{free.get(name, 0):g} of {total.get(name, 0):g} {name}s free (a trial takes {amount:g})"
        for name, amount in asked.items()
        if amount
    )
    if any(free.get(name, 0.0) < amount for name, amount in asked.items()):
        why = "Other programs hold the rest, or machines are still to come: see `ray status`."
    else:
        why = f"Ray has not started a process for it; its logs are in {log_folder()}."
    return f"Ray has {has} on {len(working_nodes())} machines. {why}"


@contextmanager
def explain_wait(what: str, seconds: float = 60.0) -> Iterator[None]:
    """Within it, print on stderr what the program waits for, if that takes longer than a minute."""
    line = f"waiting for {what}, for {seconds:.0f} seconds so far"
    timer = threading.Timer(seconds, lambda: print(line, file=sys.stderr, flush=True))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
