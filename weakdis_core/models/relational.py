"""The relational learner (ReL): latent codes and a relation to the codes after it."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from weakdis_core.devices import FULL_PRECISION, Autocast
from weakdis_core.models.discriminator import three_layers


class RelationalLearner(nn.Module):
    """A perceptron from (z_1..z_K, one-hot relation) to z' (the paper's section 3).

    Args:
        factors: Number of factor partitions; nuisance partitions pass unchanged.
        latent: Dimensions of a code.
        relations: Number of relations.
        width: Units of each layer (paper: 1024).
        residual: Addition: z' = z + output.
        autocast: Context of the network's own arithmetic; the codes are float32.
    """

    def __init__(
        self,
        factors: int,
        latent: int,
        relations: int,
        width: int,
        residual: bool,
        autocast: Autocast = FULL_PRECISION,
    ) -> None:
        super().__init__()
        self.autocast = autocast
        self.factors = factors
        self.relations = relations
        self.residual = residual
        self.network = three_layers(factors * latent + relations, width, factors * latent)

    def forward(self, codes: Tensor, relation: Tensor) -> Tensor:
        """Codes after a relation.

        Args:
            codes: `(batch, partitions, latent)`.
            relation: `(batch,)` index of the relation applied to each row.

        Returns:
            `(batch, partitions, latent)`.
        """
        own, nuisance = codes[:, : self.factors], codes[:, self.factors :]
        one_hot = F.one_hot(relation, self.relations).to(codes.dtype)
        with self.autocast:
            output = self.network(torch.cat([own.flatten(1), one_hot], dim=1)).float()
        output = output.unflatten(1, (self.factors, -1))
        return torch.cat([own + output if self.residual else output, nuisance], dim=1)
