"""MLflow calls made in order by one background thread, so that training never waits for them."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from mlflow import MlflowClient

T = TypeVar("T")

_ATTEMPTS = 4
_log = logging.getLogger(__name__)


class Writer:
    """A queue of MLflow calls and the thread that makes them.

    A call that fails is tried again, after a pause that doubles; one that fails for good is noted
    in `failures` and the next one follows.

    Args:
        uri: MLflow's database or server.
        pause: Seconds before the first repetition.
    """

    def __init__(self, uri: str, pause: float = 0.5) -> None:
        self.uri = uri
        self.failures: list[str] = []
        self._pause = pause
        self._calls: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()
        self._client: MlflowClient | None = None
        self._thread = threading.Thread(target=self._run, name="mlflow-writer", daemon=True)
        self._thread.start()

    def submit(self, call: Callable[[MlflowClient], object]) -> None:
        """Have `call` made after all earlier ones."""
        self._calls.put(lambda: call(self._connected()))

    def ask(self, call: Callable[[MlflowClient], T]) -> Future[T]:
        """Have `call` made after all earlier ones, once; the future holds its result or error."""
        answer: Future[T] = Future()

        def answered() -> None:
            try:
                answer.set_result(call(self._connected()))
            except Exception as error:
                answer.set_exception(error)

        self._calls.put(answered)
        return answer

    def close(self) -> None:
        """Make all calls still waiting, then end the thread."""
        self._calls.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            self._make(call)

    def _connected(self) -> MlflowClient:
        # Not in the constructor: making the tables of a new database takes seconds.
        if self._client is None:
            # MLflow's and alembic's notes about that are of no use to anyone.
            for name in ("mlflow.store.db.utils", "alembic"):
                logging.getLogger(name).setLevel(logging.WARNING)
            self._client = MlflowClient(self.uri)
        return self._client

    def _make(self, call: Callable[[], object]) -> None:
        for attempt in range(_ATTEMPTS):
            try:
                call()
            except Exception as error:
                reason = f"{type(error).__name__}: {error}".splitlines()[0]
                if attempt + 1 == _ATTEMPTS:
                    self.failures.append(reason)
                    _log.warning("MLflow call given up: %s", reason)
                else:
                    time.sleep(self._pause * 2**attempt)
            else:
                return
