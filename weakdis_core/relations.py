"""Relations: each shifts the value of one factor and keeps all others (the paper's section 3)."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F


class RelationTable:
    """The relations of a variant as tensors, to apply them in batches.

    Args:
        factors: Index of the affected factor of each relation, `(relations,)`.
        shifts: Shift of each relation, `(relations,)`.
        n_values: Number of values of each factor, `(factors,)`.
        device: Device of the tensors.
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
        affected = F.one_hot(self.factor, len(n_values))
        self.shift = affected * torch.tensor(shifts, device=device).unsqueeze(1)

    def __len__(self) -> int:
        return len(self.factor)

    def apply(self, values: Tensor, relation: Tensor) -> Tensor:
        """Apply relations, by index `(batch,)`, to factor values `(batch, factors)`."""
        return (values + self.shift[relation]) % self.n_values

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw `n` relations uniformly, `(n,)`."""
        return torch.randint(len(self), (n,), generator=generator, device=self.factor.device)

    def sample_values(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw factor values uniformly and independently, `(n, factors)`."""
        size, device = (n, len(self.n_values)), self.n_values.device
        return (torch.rand(size, generator=generator, device=device) * self.n_values).long()
