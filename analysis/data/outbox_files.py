"""The outbox of a sweep or study: entries for MLflow, and how many of them it has received.

`sweeps` writes both files. From them `analysis` computes how many entries MLflow lacks.
"""

from __future__ import annotations

from pathlib import Path

OUTBOX_FILE = "mlflow.jsonl"
"""One entry a line, oldest first."""

DELIVERED_FILE = "mlflow.delivered"
"""Number of entries that MLflow has received."""


def count_undelivered(folder: Path) -> int:
    """Count the entries that MLflow has not received.

    Args:
        folder: Folder of the sweep or study; one without an outbox has none.
    """
    try:
        entries = (folder / OUTBOX_FILE).read_bytes().count(b"\n")
    except FileNotFoundError:
        return 0
    try:
        return entries - int((folder / DELIVERED_FILE).read_text())
    except (FileNotFoundError, ValueError):
        return entries
