"""The discriminator C of Eq. 2: prior sample or encoder code?"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from weakdis_core.devices import FULL_PRECISION, Autocast
from weakdis_core.models.layers import activation


def three_layers(inputs: int, width: int, outputs: int) -> nn.Sequential:
    """A perceptron with three hidden layers of `width` units (the paper's size: 1024)."""
    return nn.Sequential(
        nn.Linear(inputs, width),
        activation(),
        nn.Linear(width, width),
        activation(),
        nn.Linear(width, width),
        activation(),
        nn.Linear(width, outputs),
    )


class Discriminator(nn.Module):
    """One network for all partitions, which sees the partition's identity beside the code.

    Args:
        partitions: Number of latent partitions.
        latent: Dimensions of a code.
        width: Units of each layer.
        autocast: Context of the network's own arithmetic; the logits are float32.
    """

    def __init__(
        self,
        partitions: int,
        latent: int,
        width: int,
        autocast: Autocast = FULL_PRECISION,
    ) -> None:
        super().__init__()
        self.autocast = autocast
        self.network = three_layers(latent + partitions, width, 1)
        self.identity: Tensor
        self.register_buffer("identity", torch.eye(partitions), persistent=False)

    def forward(self, codes: Tensor) -> Tensor:
        """Logits `(batch, partitions, 1)` that codes `(batch, partitions, latent)` are samples."""
        identity = self.identity.expand(len(codes), -1, -1)
        with self.autocast:
            logits: Tensor = self.network(torch.cat([codes, identity], dim=-1)).float()
        return logits
