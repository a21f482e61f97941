"""What all networks share."""

from __future__ import annotations

from torch import nn

LEAK = 0.1
"""Slope of every activation below 0."""


def activation() -> nn.Module:
    """Leaky ReLU 0.1, as in the authors' published code; in place, for speed on a CPU."""
    return nn.LeakyReLU(LEAK, inplace=True)
