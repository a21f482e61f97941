"""The modular autoencoder (the paper's section 3)."""

from abc import abstractmethod
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from weakdis_core.config.settings import ModelSettings
from weakdis_core.data.variant import IMAGE_SIZE
from weakdis_core.devices import FULL_PRECISION, Autocast
from weakdis_core.models.decoders import build_decoder
from weakdis_core.models.encoders import build_encoder
from weakdis_core.models.layers import LEAK
from weakdis_core.models.window import ContrastLocaliser, Localiser, Placement
from weakdis_core.seeding import noise_like


class Posterior(NamedTuple):
    """The encoder's output for a batch of images.

    Attributes:
        means: Codes, `(batch, partitions, latent)`.
        log_variances: Same shape for a Gaussian encoder, None for a deterministic one.
    """

    means: Tensor
    log_variances: Tensor | None

    def sample(self, generator: torch.Generator) -> Tensor:
        """Sample codes; a deterministic encoder returns its means."""
        if self.log_variances is None:
            return self.means
        return self.means + (0.5 * self.log_variances).exp() * noise_like(self.means, generator)


class Autoencoder(nn.Module):
    """What training and evaluation need of a model of images.

    Attributes:
        partitions: Number of partitions of a code: those of the factors, then nuisance partitions.
        latent: Latent dimensions of each partition.
    """

    partitions: int
    latent: int

    @abstractmethod
    def encode(self, images: Tensor) -> Posterior:
        """Encode `(batch, channels, size, size)` images in [0, 1]."""

    @abstractmethod
    def decode(self, codes: Tensor) -> Tensor:
        """Decode `(batch, partitions, latent)` codes to logits `(batch, channels, size, size)`."""

    def measured(self, codes: Tensor) -> Tensor:
        """Return the codes that DCI, MIG and SAP are measured on, `(batch, partitions, latent)`."""
        return codes

    def parameter_groups(self, learning_rate: float) -> list[dict[str, Any]]:
        """Return the groups of parameters for Adam, with their learning rates."""
        return [{"params": list(self.parameters()), "lr": learning_rate}]


class ModularAutoencoder(Autoencoder):
    """Encoder E from images to one code for each partition, decoder D from all codes to logits.

    Args:
        channels: Channels of the images.
        factors: Number of factor partitions. Nuisance partitions follow them.
        gaussian: Whether the encoder returns a variance for each code dimension.
        settings: Architecture.
        autocast: Context of the networks' arithmetic. Outputs are float32, which the losses and the
            densities of narrow components need.
        image_size: Height and width of the images: 32, 64 or 128 pixels.
    """

    def __init__(
        self,
        channels: int,
        factors: int,
        gaussian: bool,
        settings: ModelSettings,
        autocast: Autocast = FULL_PRECISION,
        image_size: int = IMAGE_SIZE,
    ) -> None:
        super().__init__()
        self.autocast = autocast
        self.partitions = factors + settings.nuisance_partitions
        self.latent = settings.latent_size
        self.gaussian = gaussian
        size = self.partitions * self.latent
        outputs = size * (2 if gaussian else 1)
        self.encoder = build_encoder(channels, outputs, settings, image_size)
        self.decoder = build_decoder(channels, size, settings, image_size)
        if settings.he_initialisation:
            self.apply(he_initialise)
            with torch.no_grad():
                _last_layer(self.decoder).weight.mul_(0.3)
                _last_layer(self.encoder).weight.mul_(0.5)

    def encode(self, images: Tensor) -> Posterior:
        """Encode `(batch, channels, size, size)` images in [0, 1]."""
        with self.autocast:
            outputs = self.encoder(images).float()
        if not self.gaussian:
            return Posterior(outputs.unflatten(1, (self.partitions, self.latent)), None)
        means, log_variances = outputs.unflatten(1, (2, self.partitions, self.latent)).unbind(1)
        return Posterior(means, (log_variances - 3).clamp(-10, 4))

    def decode(self, codes: Tensor) -> Tensor:
        """Decode `(batch, partitions, latent)` codes to logits `(batch, channels, size, size)`."""
        with self.autocast:
            logits: Tensor = self.decoder(codes.flatten(1))
        return logits.float()


def he_initialise(module: nn.Module) -> None:
    """Initialise a layer for leaky ReLUs (He et al., 2015), for `Module.apply`."""
    if isinstance(module, Localiser | ContrastLocaliser | Placement):
        module.initialise()
        return
    if isinstance(module, nn.Linear | nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, a=LEAK)
    elif isinstance(module, nn.ConvTranspose2d):
        # With a 4x4 kernel and stride 2, an output sums a quarter of the taps.
        nn.init.kaiming_normal_(module.weight.transpose(0, 1), a=LEAK)
        with torch.no_grad():
            module.weight.mul_(2.0)
    else:
        return
    if module.bias is not None:
        nn.init.zeros_(module.bias)


def _last_layer(module: nn.Module) -> nn.Linear | nn.Conv2d | nn.ConvTranspose2d:
    kinds = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)
    return [layer for layer in module.modules() if isinstance(layer, kinds)][-1]
