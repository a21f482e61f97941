"""Changes of a factor without a learned network, for the baselines."""

import torch
from torch import Tensor, nn

from weakdis_core.priors.prior import Prior
from weakdis_core.relations import RelationTable


class Replacement(nn.Module):
    """Replaces the code of the affected factor by the mean code of its new value.

    It has the interface of the relational learner and no weights. The present value is the one
    whose mean is nearest.

    Args:
        relations: The variant's relations.
        latent: Latent dimensions of each partition.

    Attributes:
        factors: Number of factor partitions, the first of a code.
    """

    means: Tensor

    def __init__(self, relations: RelationTable, latent: int) -> None:
        super().__init__()
        self.relations = relations
        self.factors = len(relations.n_values)
        components = int(relations.n_values.max())
        self.register_buffer("means", torch.full((self.factors, components, latent), torch.inf))

    def follow(self, prior: Prior) -> None:
        """Take the means of a prior's components; values without a component are never read."""
        present = prior.log_weights[: self.factors].isfinite().unsqueeze(-1)
        self.means = prior.means[: self.factors].masked_fill(~present, torch.inf)

    def forward(self, codes: Tensor, relation: Tensor) -> Tensor:
        """Apply relations `(batch,)` to codes `(batch, partitions, latent)`.

        A new value without a component leaves the code as it is.
        """
        own = codes[:, : self.factors].unsqueeze(2)
        values = (own - self.means).square().sum(-1).argmin(-1)
        factor = self.relations.factor[relation]
        rows = torch.arange(len(codes), device=codes.device)
        target = self.means[factor, self.relations.apply(values, relation)[rows, factor]]
        moved = codes.clone()
        moved[rows, factor] = torch.where(target.isfinite(), target, codes[rows, factor])
        return moved
