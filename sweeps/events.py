"""Events of a session's trials. Receiving them needs no part of Ray."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sweeps.record import Record


class Listener:
    """Receives events, in the order of `sweeps.callback.TrialEvents`; each does nothing here."""

    def session_started(self) -> None:
        """Receive the start of the session, before that of any trial."""

    def step_started(self) -> None:
        """Receive the start of a step of Tune's loop, which waits for one event at most."""

    def trial_started(self, record: Record) -> None:
        """Receive a trial that starts, or goes on in another process."""

    def trial_reported(self, record: Record, result: Mapping[str, Any]) -> None:
        """Receive a report of a trial, with what Tune adds to it."""

    def checkpoint_saved(self, record: Record, path: str) -> None:
        """Receive the path, within the storage, of a checkpoint that a trial has saved."""

    def trial_ended(self, record: Record) -> None:
        """Receive a trial that has ended by itself: it completed, failed or was stopped early."""

    def session_ended(self) -> None:
        """Receive the end of the session; trials that still ran are cut short."""


@contextmanager
def waits_explained(what: str, seconds: float = 60.0) -> Iterator[None]:
    """Within it, print on stderr what the program waits for, if that takes longer than a minute."""
    line = f"waiting for {what}, for {seconds:.0f} seconds so far"
    timer = threading.Timer(seconds, lambda: print(line, file=sys.stderr, flush=True))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
