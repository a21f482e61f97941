"""The discriminator C of Eq. 2: prior sample or encoder code?"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from weakdis_core.devices import FULL_PRECISION, Autocast
from weakdis_core.models.encoders import activation


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
        joint: Addition: a second network that sees all partitions at once.
        autocast: Context of the networks' own arithmetic; the logits are float32.
    """

    def __init__(
        self,
        partitions: int,
        latent: int,
        width: int,
        joint: bool,
        autocast: Autocast = FULL_PRECISION,
    ) -> None:
        super().__init__()
        self.autocast = autocast
        self.single = three_layers(latent + partitions, width, 1)
        self.joint = three_layers(partitions * latent, width, 1) if joint else None
        self.identity: Tensor
        self.register_buffer("identity", torch.eye(partitions), persistent=False)

    def forward(self, codes: Tensor) -> list[Tensor]:
        """Logits that codes `(batch, partitions, latent)` are prior samples.

        Returns:
            `[(batch, partitions, 1)]`, and with the joint network also `(batch, 1)`.
        """
        identity = self.identity.expand(len(codes), -1, -1)
        with self.autocast:
            logits = [self.single(torch.cat([codes, identity], dim=-1)).float()]
            if self.joint is not None:
                logits.append(self.joint(codes.flatten(1)).float())
        return logits
