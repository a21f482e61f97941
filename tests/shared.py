"""What is made once for all workers of a test run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def shared_folder(factory: pytest.TempPathFactory, name: str) -> Path:
    """A folder of this test run that all its workers have in common."""
    base = factory.getbasetemp()
    # Each worker of pytest-xdist has a folder of its own below that of the run.
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / f"shared-{name}"
    folder.mkdir(exist_ok=True)
    return folder
