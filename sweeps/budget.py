"""When a sweep stops: at the end of its time, or at a signal."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from ray.tune import Stopper

from sweeps.trial import Listener

ENDING = [
    getattr(signal, f"SIG{name}")
    for name in (
        "INT", "TERM", "HUP", "QUIT", "USR1", "USR2", "ALRM", "VTALRM", "PROF", "XCPU", "IO", "PWR",
        "STKFLT",
    )
    if hasattr(signal, f"SIG{name}")
]  # fmt: skip
"""Signals that end a program that does not handle them, those of a fault and of a pipe apart."""


class Interruption(Listener):
    """Remembers a signal that ends the program, for the exit code and the state of what it stopped.

    A context manager. The signal raises KeyboardInterrupt, except within `deferred`, where the
    first one is only noted. A signal other than Ctrl-C and SIGTERM that is ignored when the program
    starts, as `nohup` has it, stays so.

    Args:
        patience: Seconds that an orderly end may take. It takes for ever where the signal reached
            Ray's processes too, as `timeout` and some CI systems send it. Those that kill what has
            not ended, as `docker stop` does, give it ten.
    """

    def __init__(self, patience: float = 7.0) -> None:
        self.signal: int | None = None
        self._patience = patience
        self._earlier: dict[int, Any] = {}
        self._defers = False
        self._rescue: Callable[[], object] | None = None
        self._timer: threading.Timer | None = None

    @property
    def exit_code(self) -> int:
        """What a shell reports of a process ended by the signal: 130 for Ctrl-C."""
        return 0 if self.signal is None else 128 + self.signal

    @contextmanager
    def deferred(self, rescue: Callable[[], object] | None = None) -> Iterator[None]:
        """Within it the first signal is left to whoever looks at `signal`; the second acts.

        Args:
            rescue: Called from another thread when patience ends; the process then exits.
        """
        self._defers, self._rescue = True, rescue
        try:
            yield
        finally:
            self._defers = False
            if self._timer is not None:
                self._timer.cancel()

    def __enter__(self) -> Interruption:
        for number in ENDING:
            earlier = signal.getsignal(number)
            if earlier != signal.SIG_IGN or number in (signal.SIGINT, signal.SIGTERM):
                self._earlier[number] = earlier
        self.session_started()
        return self

    def session_started(self) -> None:
        """Take the signals, of which Tune takes SIGUSR1 when it starts."""
        for number in self._earlier:
            signal.signal(number, self._note)

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._earlier.items():
            # None: it was not set from Python, which cannot set it again.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        first = self.signal is None
        self.signal = self.signal or number
        if not (first and self._defers):
            raise KeyboardInterrupt
        if self._rescue is not None:
            self._timer = threading.Timer(self._patience, self._leave)
            self._timer.daemon = True
            self._timer.start()

    def _leave(self) -> None:
        try:
            if self._rescue is not None:
                self._rescue()
        finally:
            # The main thread is stuck in Ray and hears nothing.
            os._exit(self.exit_code)


class Budget(Stopper):
    """Stops the trials when its seconds are over, the user interrupts it, or the disk fails.

    Args:
        seconds: Seconds of running trials, counted from `start`; infinite for no end.
        interruption: The signals received.
        spent: Seconds of them that earlier sessions took.
    """

    def __init__(self, seconds: float, interruption: Interruption, spent: float = 0.0) -> None:
        self.seconds = seconds
        self.interruption = interruption
        # Why a trial could not write its checkpoint: no other one could.
        self.disk_error = ""
        self._spent = spent
        self._start: float | None = None

    def start(self) -> None:
        """Start the clock, with the first trial; once it runs it goes on."""
        self._start = self._start or time.monotonic()

    @property
    def spent(self) -> float:
        """Seconds taken so far, in all sessions."""
        return self._spent + (time.monotonic() - self._start if self._start else 0.0)

    @property
    def left(self) -> float:
        """Seconds left."""
        return max(0.0, self.seconds - self.spent)

    @property
    def interrupted(self) -> bool:
        """Whether the user asked to stop."""
        return self.interruption.signal is not None

    @property
    def ran_out(self) -> bool:
        """Whether the time is over, without the user's having asked to stop."""
        return self.left == 0 and not self.interrupted

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """No single trial is stopped here."""
        return False

    def stop_all(self) -> bool:
        """Whether everything is to stop."""
        return self.interrupted or self.left == 0 or bool(self.disk_error)

    def __getstate__(self) -> dict[str, Any]:
        # Tune pickles its stopper; a restored sweep makes its own.
        return {"seconds": self.seconds}
