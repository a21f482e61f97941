"""The background thread that sends the outbox to MLflow, so that training never waits."""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable

from sweeps.tracking.client import may_work_later
from sweeps.tracking.outbox import Entry, Outbox

_log = logging.getLogger(__name__)
_LONGEST_PAUSE = 5.0


class DeliveryWorker:
    """Delivers the entries of an outbox in order, those of an earlier process first.

    It retries an entry until MLflow answers. It adds entries that MLflow refuses to `failures`.

    Args:
        outbox: The entries.
        deliver: Sends an entry to MLflow.
        pause: Seconds before the first retry; they double up to five.
    """

    def __init__(
        self, outbox: Outbox, deliver: Callable[[Entry], None], pause: float = 0.5
    ) -> None:
        self.failures: list[str] = []
        self.undelivered = 0
        self._outbox = outbox
        self._deliver = deliver
        self._pause = pause
        self._queue: queue.Queue[Entry | None] = queue.Queue()
        self._deadline: float | None = None
        self._closing = threading.Event()
        for entry in outbox.waiting():
            self._queue.put(entry)
        self._thread = threading.Thread(target=self._run, name="mlflow-writer", daemon=True)
        self._thread.start()

    def submit(self, entry: Entry) -> None:
        """Append an entry to the outbox, and deliver it after all earlier ones.

        Raises:
            OSError: The disk is full.
        """
        self._outbox.append(entry)
        self._queue.put(entry)

    def flush(self, patience: float = 60.0) -> bool:
        """Wait at most `patience` seconds until MLflow has received or refused all entries.

        Returns:
            Whether it has.
        """
        done = self._queue.all_tasks_done
        with done:
            return done.wait_for(lambda: not self._queue.unfinished_tasks, patience)

    def close(self, grace: float = 15.0) -> None:
        """Deliver the waiting entries, then end the thread.

        Args:
            grace: Seconds to keep retrying if MLflow does not answer. The rest then stays in the
                outbox; `undelivered` is its number.
        """
        self._deadline = time.monotonic() + grace
        self._closing.set()
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (entry := self._queue.get()) is not None:
            if self._send(entry):
                # If the disk fails, MLflow receives the entry a second time.
                with contextlib.suppress(OSError):
                    self._outbox.delivered()
                self._queue.task_done()
            else:
                self.undelivered = 1 + sum(1 for _ in iter(self._queue.get, None))
                return

    def _send(self, entry: Entry) -> bool:
        """Send an entry until MLflow receives or refuses it; return False if time ran out."""
        pause = self._pause
        while True:
            try:
                self._deliver(entry)
            except Exception as error:
                if not may_work_later(error):
                    self.failures.append(f"{type(error).__name__}: {error}".splitlines()[0])
                    _log.warning("MLflow refuses: %s", self.failures[-1])
                    return True
                if self._deadline is not None and time.monotonic() > self._deadline:
                    return False
                # `close` ends one pause; then the event stays set, and `wait` would return at once.
                if self._closing.is_set():
                    time.sleep(min(pause, 1.0))
                else:
                    self._closing.wait(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
            else:
                return True
