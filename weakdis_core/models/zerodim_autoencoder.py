"""The networks of ZeroDIM (Gabbay et al., 2021)."""

from collections.abc import Sequence
from math import ceil
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from weakdis_core.config.settings import ModelSettings, ZeroDimSettings
from weakdis_core.data.variant import IMAGE_SIZE
from weakdis_core.devices import FULL_PRECISION, Autocast
from weakdis_core.errors import UserError
from weakdis_core.models.autoencoder import Autoencoder, Posterior
from weakdis_core.models.decoders import build_decoder
from weakdis_core.models.encoders import build_encoder

_BETAS = (0.5, 0.999)


class ZeroDimAutoencoder(Autoencoder):
    """A classifier for each factor, an embedding for each value, a residual encoder, a generator.

    The code of a factor is the probability of each of its values; the generator receives the mean
    embedding under these probabilities. The residual code fills the nuisance partitions. Both are
    padded with zeros to the latent size.

    Args:
        channels: Channels of the images.
        n_values: Number of values of each factor.
        settings: Architecture. The latent size is at least the largest number of values.
        own: Sizes of embeddings and residual codes, and learning rates.
        images: Number of images that have a residual code in the first stage.
        autocast: Context of the networks' arithmetic. Outputs are float32.
        image_size: Height and width of the images: 32, 64 or 128 pixels.

    Attributes:
        embeddings: `(factors, latent, embedding_size)`.
        residuals: Residual codes that the first stage optimises, `(images, residual_size)`.

    Raises:
        UserError: The latent size is too small, or there are too few nuisance partitions.
    """

    def __init__(
        self,
        channels: int,
        n_values: Sequence[int],
        settings: ModelSettings,
        own: ZeroDimSettings,
        images: int,
        autocast: Autocast = FULL_PRECISION,
        image_size: int = IMAGE_SIZE,
    ) -> None:
        super().__init__()
        self.autocast, self.own, self.n_values = autocast, own, tuple(n_values)
        self.latent, self.factors = settings.latent_size, len(n_values)
        self.partitions = self.factors + settings.nuisance_partitions
        if self.latent < (largest := max(n_values)):
            raise UserError(
                f"model.latent_size: {self.latent} is not allowed: model.kind zerodim needs at "
                f"least {largest}, the values of the largest factor"
            )
        if settings.nuisance_partitions < (least := ceil(own.residual_size / self.latent)):
            raise UserError(
                f"model.nuisance_partitions: {settings.nuisance_partitions} is not allowed: the "
                f"residual code of model.kind zerodim needs {least}"
            )
        outputs = [sum(n_values)] if own.shared_classifier else self.n_values
        self.classifiers = nn.ModuleList(
            build_encoder(channels, each, settings, image_size) for each in outputs
        )
        self.residual_encoder = build_encoder(channels, own.residual_size, settings, image_size)
        self.embeddings = _small(self.factors, self.latent, own.embedding_size)
        self.residuals = _small(images, own.residual_size)
        inputs = self.factors * own.embedding_size + own.residual_size
        self.generator = build_decoder(channels, inputs, settings, image_size)

    def classify(self, images: Tensor) -> Tensor:
        """Return log-probabilities of values, `(batch, factors, latent)`; -inf is padding."""
        with self.autocast:
            logits = torch.cat([network(images) for network in self.classifiers], dim=1).float()
        each = [part.log_softmax(1) for part in logits.split(self.n_values, dim=1)]
        padded = [F.pad(part, (0, self.latent - part.shape[1]), value=-torch.inf) for part in each]
        return torch.stack(padded, dim=1)

    def encode_residual(self, images: Tensor) -> Tensor:
        """Return residual codes `(batch, residual_size)`."""
        with self.autocast:
            codes: Tensor = self.residual_encoder(images).float()
        return codes

    def encode(self, images: Tensor) -> Posterior:
        """Encode images to the probabilities of values and the residual code."""
        residual = self.encode_residual(images)
        size = (self.partitions - self.factors) * self.latent
        padded = F.pad(residual, (0, size - residual.shape[1])).unflatten(1, (-1, self.latent))
        return Posterior(torch.cat([self.classify(images).exp(), padded], dim=1), None)

    @staticmethod
    def embed(probabilities: Tensor, embeddings: Tensor) -> Tensor:
        """Return mean embeddings `(batch, factors, embedding_size)` under probabilities."""
        return torch.einsum("bfv,fve->bfe", probabilities, embeddings)

    def generate(self, embedded: Tensor, residual: Tensor) -> Tensor:
        """Draw embeddings `(batch, factors, embedding_size)` and residual codes as logits."""
        with self.autocast:
            logits: Tensor = self.generator(torch.cat([embedded.flatten(1), residual], dim=1))
        return logits.float()

    def decode(self, codes: Tensor) -> Tensor:
        """Decode `(batch, partitions, latent)` codes to logits."""
        residual = codes[:, self.factors :].flatten(1)[:, : self.own.residual_size]
        return self.generate(self.embed(codes[:, : self.factors], self.embeddings), residual)

    def measured(self, codes: Tensor) -> Tensor:
        """Return the mean embeddings of the factors without the residual code, as published."""
        return self.embed(codes[:, : self.factors], self.embeddings)

    def parameter_groups(self, learning_rate: float) -> list[dict[str, Any]]:
        """Return groups with the published learning rates and moments."""
        networks = [*self.generator.parameters(), *self.residual_encoder.parameters()]
        groups = (
            ([self.embeddings, self.residuals], self.own.code_learning_rate),
            (list(self.classifiers.parameters()), self.own.classifier_learning_rate),
            (networks, learning_rate),
        )
        return [{"params": group, "lr": rate, "betas": _BETAS} for group, rate in groups]


def _small(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.empty(shape).uniform_(-0.05, 0.05))
