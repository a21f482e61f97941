"""Relations: one factor's value moves by a shift, everything else stays (the paper's section 3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Relation:
    """A change of a single factor of variation, wrapping around at the ends.

    Attributes:
        name: What a user calls it, with underscores: `move_left`.
        factor: Name of the factor it affects.
        shift: Added to the factor's value, modulo the number of values.
    """

    name: str
    factor: str
    shift: int

    def target(self, value: int, n_values: int) -> int:
        """Value after the relation: the connection c_r(v) between prior components (Eq. 3)."""
        return (value + self.shift) % n_values


class RelationTable:
    """All relations of a variant as tensors, so that a batch of them is applied at once.

    Args:
        factors: Affected factor (position) of each relation, `(relations,)`.
        shifts: Shift of each relation, `(relations,)`.
        n_values: Number of values of each factor, `(factors,)`.
        device: Where the tables live.
    """

    def __init__(
        self,
        factors: Sequence[int],
        shifts: Sequence[int],
        n_values: Sequence[int],
        device: torch.device | str = "cpu",
    ) -> None:
        self.factor = torch.tensor(factors, dtype=torch.long, device=device)
        self.n_values = torch.tensor(n_values, dtype=torch.long, device=device)
        shift = torch.zeros(len(factors), len(n_values), dtype=torch.long, device=device)
        shift[torch.arange(len(factors)), self.factor] = torch.tensor(shifts, device=device)
        self.shift = shift

    def __len__(self) -> int:
        return len(self.factor)

    def apply(self, values: Tensor, relation: Tensor) -> Tensor:
        """Factor values after a relation each.

        Args:
            values: `(batch, factors)` integers.
            relation: `(batch,)` index of the relation applied to each row.

        Returns:
            `(batch, factors)`: the affected factor moved by its shift modulo its number of values.
        """
        return (values + self.shift[relation]) % self.n_values

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """`n` relations drawn uniformly, `(n,)`."""
        device = self.factor.device
        return torch.randint(len(self), (n,), generator=generator, device=device)

    def sample_values(self, n: int, generator: torch.Generator) -> Tensor:
        """Factor values drawn uniformly and independently, `(n, factors)`."""
        uniform = torch.rand(
            n, len(self.n_values), generator=generator, device=self.n_values.device
        )
        return (uniform * self.n_values).long()
