"""How long tests wait for what must happen before they fail: much longer than it ever takes."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE = 1200.0
"""Seconds. A test waits for an event: how soon it comes depends on the processor and its load."""


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait until something has happened."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
