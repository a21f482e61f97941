"""Durations and settings as short text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def format_duration(seconds: float) -> str:
    """`4:05` or `1:04:05`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def format_settings(values: Mapping[str, Any]) -> str:
    """Settings searched, without their groups: `latent_size=8 lambda=0.21`."""
    return " ".join(
        f"{name.rpartition('.')[2]}={value:.3g}" if isinstance(value, float) else
        f"{name.rpartition('.')[2]}={value}"
        for name, value in values.items()
    )  # fmt: skip
