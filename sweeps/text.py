"""Short texts: durations, settings and outcomes."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from sweeps.trial import TrialRecord


def format_duration(seconds: float) -> str:
    """Format a duration as `4:05` or `1:04:05`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def format_settings(values: Mapping[str, Any]) -> str:
    """Format settings without their groups: `latent_size=8 lambda=0.21`."""
    return " ".join(
        f"{name.rpartition('.')[2]}={value:.3g}" if isinstance(value, float) else
        f"{name.rpartition('.')[2]}={value}"
        for name, value in values.items()
    )  # fmt: skip


def format_outcomes(records: Iterable[TrialRecord]) -> str:
    """Count outcomes: `3 complete, 1 out of time`."""
    counts = Counter(record.outcome.replace("_", " ") for record in records)
    return ", ".join(f"{number} {outcome}" for outcome, number in counts.items())


def format_count(number: int, noun: str) -> str:
    """Write a number of things: `1 trial`, `2 trials`."""
    return f"{number} {noun}{'s' * (number != 1)}"


def label_line(label: str, text: str) -> str:
    """Return a label and its text, aligned with those of other lines."""
    return f"{label:<13}{text}"
