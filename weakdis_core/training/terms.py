"""Running means of the loss terms, and the check that they are finite."""

from typing import Any

import torch
from torch import Tensor


class TrainingDiverged(RuntimeError):
    """A loss is NaN or infinite."""


class RunningTerms:
    """Sums of named loss terms since the last report.

    They stay on the device, because reading them at every step would wait for the device.
    """

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def add(self, terms: dict[str, Tensor]) -> None:
        """Add the terms of one step."""
        for name, value in terms.items():
            self._sums[name] = self._sums.get(name, 0) + value
            self._counts[name] = self._counts.get(name, 0) + 1

    def check(self, step: int, run: str) -> None:
        """Check that every sum is finite; `step` and `run` are for the message.

        Raises:
            TrainingDiverged: A sum is NaN or infinite.
        """
        if not torch.stack(list(self._sums.values())).isfinite().all():
            shown = ", ".join(f"{name} {value:.4g}" for name, value in self.means().items())
            raise TrainingDiverged(f"loss is not finite by step {step} ({shown}); {run}")

    def means(self) -> dict[str, float]:
        """Return the mean of each term over its steps, as `train/<term>`, and reset the sums."""
        sums = zip(self._sums, torch.stack(list(self._sums.values())).tolist(), strict=True)
        metrics = {f"train/{name}": total / self._counts[name] for name, total in sums}
        self._sums, self._counts = {}, {}
        return metrics

    def state_dict(self) -> dict[str, Any]:
        """Return the sums and their numbers of steps."""
        return {"sums": self._sums, "counts": self._counts}

    def load_state_dict(self, state: dict[str, Any], device: torch.device) -> None:
        """Restore the sums from a `state_dict`."""
        self._sums = {name: value.to(device) for name, value in state["sums"].items()}
        self._counts = dict(state["counts"])
