"""Perceptrons on codes: the discriminator C and the relational learner ReL (section 3)."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from weakdis_core.config.settings import ModelSettings
from weakdis_core.devices import FULL_PRECISION, Autocast
from weakdis_core.models.layers import perceptron


class Discriminator(nn.Module):
    """Discriminator C of Eq. 2, which separates prior samples from encoder codes.

    One network serves all partitions. Its inputs are the code and the one-hot partition.

    Args:
        partitions: Number of latent partitions.
        settings: Latent size and width.
        autocast: Context of the network's arithmetic. The logits are float32.
    """

    def __init__(
        self, partitions: int, settings: ModelSettings, autocast: Autocast = FULL_PRECISION
    ) -> None:
        super().__init__()
        self.autocast = autocast
        width = settings.discriminator_width
        self.network = perceptron(settings.latent_size + partitions, width, width, width, 1)
        self.identity: Tensor
        self.register_buffer("identity", torch.eye(partitions), persistent=False)

    def forward(self, codes: Tensor) -> Tensor:
        """Return logits `(batch, partitions, 1)` that codes are prior samples."""
        identity = self.identity.expand(len(codes), -1, -1)
        with self.autocast:
            logits: Tensor = self.network(torch.cat([codes, identity], dim=-1)).float()
        return logits


class RelationalLearner(nn.Module):
    """Relational learner ReL from (z_1..z_K, one-hot relation) to z'.

    Args:
        factors: Number of factor partitions. Nuisance partitions stay unchanged.
        relations: Number of relations.
        settings: Latent size and width, and whether z' = z + output (an addition).
        autocast: Context of the network's arithmetic. The codes are float32.
    """

    def __init__(
        self,
        factors: int,
        relations: int,
        settings: ModelSettings,
        autocast: Autocast = FULL_PRECISION,
    ) -> None:
        super().__init__()
        self.autocast = autocast
        self.factors = factors
        self.relations = relations
        self.residual = settings.residual_relations
        size, width = factors * settings.latent_size, settings.relational_width
        self.network = perceptron(size + relations, width, width, width, size)

    def forward(self, codes: Tensor, relation: Tensor) -> Tensor:
        """Apply relations `(batch,)` to codes `(batch, partitions, latent)`."""
        own, nuisance = codes[:, : self.factors], codes[:, self.factors :]
        one_hot = F.one_hot(relation, self.relations).to(codes.dtype)
        with self.autocast:
            output = self.network(torch.cat([own.flatten(1), one_hot], dim=1)).float()
        output = output.unflatten(1, (self.factors, -1))
        return torch.cat([own + output if self.residual else output, nuisance], dim=1)
