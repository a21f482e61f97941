"""Loss terms between two reports: summed on the device, looked at rarely."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor


class TrainingDiverged(RuntimeError):
    """A loss is NaN or infinite; the message says at which step, which terms, of which config."""


class RunningTerms:
    """Running sums of named loss terms, each over the steps that had it.

    They stay on the device: to read a loss at every step would wait for it at every step.
    """

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def add(self, terms: dict[str, Tensor]) -> None:
        """Take in the terms of one step."""
        for name, value in terms.items():
            self._sums[name] = self._sums.get(name, 0) + value
            self._counts[name] = self._counts.get(name, 0) + 1

    def check(self, step: int, run: str) -> None:
        """Make sure that every loss so far is finite; waits for the device.

        Args:
            step: Steps done, for the message.
            run: Which run it is, for the message.

        Raises:
            TrainingDiverged: One is NaN or infinite.
        """
        values = torch.stack(list(self._sums.values())).tolist()
        if not all(math.isfinite(value) for value in values):
            shown = ", ".join(f"{name} {value:.4g}" for name, value in self.means().items())
            raise TrainingDiverged(f"loss is not finite by step {step} ({shown}); {run}")

    def means(self) -> dict[str, float]:
        """Mean of each term over the steps that had it, as `train/<term>`; the sums start anew."""
        names = list(self._sums)
        sums = torch.stack([self._sums[name] for name in names]).tolist()
        metrics = {
            f"train/{name}": total / self._counts[name]
            for name, total in zip(names, sums, strict=True)
        }
        self._sums, self._counts = {}, {}
        return metrics

    def state_dict(self) -> dict[str, Any]:
        """The sums and the numbers of steps behind them."""
        return {"sums": self._sums, "counts": self._counts}

    def load_state_dict(self, state: dict[str, Any], device: torch.device) -> None:
        """Take over what `state_dict` gave."""
        self._sums = {name: value.to(device) for name, value in state["sums"].items()}
        self._counts = dict(state["counts"])
