"""Outbox files of a sweep or study, which `sweeps` writes."""

from __future__ import annotations

from pathlib import Path

OUTBOX_FILE = "mlflow.jsonl"
"""Entries for MLflow, one a line, oldest first."""

DELIVERED_FILE = "mlflow.delivered"
"""Number of entries that MLflow has received."""


def count_undelivered(folder: Path) -> int:
    """Count the entries that MLflow has not received.

    Args:
        folder: Folder of the sweep or study; without an outbox the count is 0.
    """
    try:
        entries = (folder / OUTBOX_FILE).read_bytes().count(b"\n")
    except FileNotFoundError:
        return 0
    try:
        return entries - int((folder / DELIVERED_FILE).read_text())
    except (FileNotFoundError, ValueError):
        return entries
