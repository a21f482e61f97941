"""When a sweep stops: at the end of its time, or at a signal."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Self

from ray.tune import Stopper

from sweeps.trial import Listener

_ENDING_NAMES = {
    "SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGVTALRM",
    "SIGPROF", "SIGXCPU", "SIGIO", "SIGPWR", "SIGSTKFLT",
}  # fmt: skip
ENDING = [each for each in signal.Signals if each.name in _ENDING_NAMES]
"""Signals that end a program that does not handle them, except those of faults and of pipes."""

# Seconds within which the program ends by itself. If a signal reaches Ray's processes too, as that
# of `timeout` does, it would wait for ever; `docker stop` kills it after ten seconds.
_PATIENCE = 7.0


class Interruption(Listener):
    """Records the signal that ends the program, for the exit code and the state of MLflow runs.

    A context manager. A signal raises KeyboardInterrupt, but within `deferred` the first one is
    only recorded. Signals that are ignored when the program starts, as under `nohup`, stay ignored,
    except Ctrl-C and SIGTERM.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._earlier: dict[int, Any] = {}
        self._defers = False
        self._rescue: Callable[[], object] | None = None
        self._timer: threading.Timer | None = None

    @property
    def exit_code(self) -> int:
        """Exit code of a process that the signal ended: 130 for Ctrl-C."""
        return 0 if self.signal is None else 128 + self.signal

    @contextmanager
    def deferred(self, rescue: Callable[[], object] | None = None) -> Iterator[None]:
        """Only record the first signal, for a caller that checks `signal`; the second one raises.

        Args:
            rescue: Called from another thread if the program has not ended after 7 seconds; the
                process then exits.
        """
        self._defers, self._rescue = True, rescue
        try:
            yield
        finally:
            self._defers = False
            if self._timer is not None:
                self._timer.cancel()

    def __enter__(self) -> Self:
        for number in ENDING:
            earlier = signal.getsignal(number)
            if earlier != signal.SIG_IGN or number in (signal.SIGINT, signal.SIGTERM):
                self._earlier[number] = earlier
        self.session_started()
        return self

    def session_started(self) -> None:
        """Install the handlers again, because Tune replaces that of SIGUSR1 when it starts."""
        for number in self._earlier:
            signal.signal(number, self._record)

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._earlier.items():
            # None: it was not set from Python, which cannot set it again.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def _record(self, number: int, frame: FrameType | None) -> None:
        first = self.signal is None
        self.signal = self.signal or number
        if not (first and self._defers):
            raise KeyboardInterrupt
        if self._rescue is not None:
            self._timer = threading.Timer(_PATIENCE, self._leave, (self._rescue,))
            self._timer.daemon = True
            self._timer.start()

    def _leave(self, rescue: Callable[[], object]) -> None:
        try:
            rescue()
        finally:
            # The main thread is blocked in Ray.
            os._exit(self.exit_code)


class Budget(Stopper):
    """Stops all trials at the end of the time, at a signal, or when the disk fails.

    Args:
        seconds: Seconds of running trials, counted from `start`; infinite for no end.
        interruption: The signals received.
        spent: Seconds that earlier sessions took.
    """

    def __init__(self, seconds: float, interruption: Interruption, spent: float = 0.0) -> None:
        self.seconds = seconds
        self.interruption = interruption
        # Why a trial could not write its checkpoint; no other trial could either.
        self.disk_error = ""
        self._spent = spent
        self._start: float | None = None

    def start(self) -> None:
        """Start the clock with the first trial; later calls do nothing."""
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
        """Whether the time is over and the user did not ask to stop."""
        return self.left == 0 and not self.interrupted

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Return False: a single trial is never stopped."""
        return False

    def stop_all(self) -> bool:
        """Return whether all trials must stop."""
        return self.interrupted or self.left == 0 or bool(self.disk_error)

    def __getstate__(self) -> dict[str, Any]:
        # Tune pickles its stopper; a resumed sweep creates its own.
        return {"seconds": self.seconds}
