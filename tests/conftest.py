"""What all tests share: their order, and programs that may be missing."""

from __future__ import annotations

import os
import shutil

import pytest

# Before anything imports MLflow, which would report its use over the network.
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run what is fast first: a plain mistake shows within seconds."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is not None)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose program is missing; where CI=true nothing may be missing."""
    for marker in item.iter_markers("needs_command"):
        name, package = marker.args
        if shutil.which(name) is None:
            reason = f"needs {name} (Debian package {package})"
            if os.environ.get("CI") == "true":
                pytest.fail(reason, pytrace=False)
            pytest.skip(reason)
