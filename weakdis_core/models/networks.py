"""The networks of a run (section 3 of the paper), with their optimisers and learning rates."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from weakdis_core.config.config import Config
from weakdis_core.config.settings import BY_FACTOR, WITHOUT_PRIOR, ModelSettings
from weakdis_core.data.variant import Variant
from weakdis_core.devices import FULL_PRECISION, Autocast
from weakdis_core.models.autoencoder import Autoencoder, ModularAutoencoder
from weakdis_core.models.layers import perceptron
from weakdis_core.models.replacement import Replacement
from weakdis_core.models.zerodim_autoencoder import ZeroDimAutoencoder
from weakdis_core.priors.prior import Prior
from weakdis_core.seeding import derive


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


class CodeDiscriminator(nn.Module):
    """Discriminator of FactorVAE, which separates codes from those of independent latents.

    Args:
        latents: Latent dimensions of a code.
        width: Units of each of its six layers.
    """

    def __init__(self, latents: int, width: int) -> None:
        super().__init__()
        self.network = perceptron(latents, *[width] * 6, 1)

    def forward(self, codes: Tensor) -> Tensor:
        """Return the log-ratio `(batch, 1)` of codes `(batch, latents)`."""
        logits: Tensor = self.network(codes)
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


class Networks:
    """M-AE, discriminator and ReL, each with its Adam optimiser.

    Args:
        variant: Variant that determines the sizes of inputs and outputs.
        config: Architecture, learning rates and the seed of the initial weights.
        device: Device of the networks.
        autocast: Context of their arithmetic.
    """

    def __init__(
        self,
        variant: Variant,
        config: Config,
        device: torch.device,
        autocast: Autocast = FULL_PRECISION,
    ) -> None:
        model, training = config.model, config.training
        factors = len(variant.factors) if model.kind in BY_FACTOR else 1
        # Initialisers draw from the global generator: it is seeded here and put back.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive(config.seed, "weights"))
            self.autoencoder = _build_autoencoder(variant, factors, config, autocast)
            partitions = self.autoencoder.partitions
            self.discriminator: nn.Module
            self.relational: RelationalLearner | Replacement
            if model.kind in WITHOUT_PRIOR:
                self.discriminator = nn.Identity()
                if model.kind == "few_labels" and config.few_labels.regulariser == "factor_vae":
                    latents = partitions * model.latent_size
                    self.discriminator = CodeDiscriminator(latents, model.discriminator_width)
                table = variant.relation_table(str(device))
                self.relational = Replacement(table, model.latent_size)
            else:
                self.discriminator = Discriminator(partitions, model, autocast)
                relations = len(variant.relations)
                self.relational = RelationalLearner(factors, relations, model, autocast)
        self._training = training
        for name in ("autoencoder", "discriminator", "relational"):
            getattr(self, name).to(device).to(memory_format=torch.channels_last)
        groups = {
            "autoencoder": self.autoencoder.parameter_groups(training.learning_rate),
            "discriminator": _group(self.discriminator, training.discriminator_learning_rate),
            "relational": _group(self.relational, training.relational_learning_rate),
        }
        # The scheduled rate is a multiple of the initial one.
        self.optimisers = {
            name: torch.optim.Adam([one | {"initial_lr": one["lr"]} for one in each], fused=True)
            for name, each in groups.items()
            if each[0]["params"]
        }

    def follow(self, prior: Prior) -> None:
        """Change factors by the means of a prior, in a model without a relational learner."""
        if isinstance(self.relational, Replacement):
            self.relational.follow(prior)

    def set_learning_rates(self, step: int) -> None:
        """Set the learning rates after `step` finished steps: a ramp, then half a cosine."""
        training = self._training
        factor = min(1.0, (step + 1) / training.ramp_steps) if training.ramp_steps else 1.0
        if training.decay:
            cosine = 0.5 * (1 + math.cos(math.pi * step / training.steps))
            factor *= 0.05 + 0.95 * cosine
        for optimiser in self.optimisers.values():
            for group in optimiser.param_groups:
                group["lr"] = group["initial_lr"] * factor

    def minimise(self, name: str, loss: Tensor, clip: float = 0.0) -> None:
        """Make one step of the optimiser `name` on `loss`."""
        optimiser = self.optimisers[name]
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        if clip:
            nn.utils.clip_grad_norm_(getattr(self, name).parameters(), clip)
        optimiser.step()

    def state_dict(self) -> dict[str, Any]:
        """Return the weights and optimiser states."""
        return {
            name: {"weights": getattr(self, name).state_dict(), "optimiser": optimiser.state_dict()}
            for name, optimiser in self.optimisers.items()
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a `state_dict`."""
        for name, optimiser in self.optimisers.items():
            getattr(self, name).load_state_dict(state[name]["weights"])
            optimiser.load_state_dict(state[name]["optimiser"])


def _group(network: nn.Module, learning_rate: float) -> list[dict[str, Any]]:
    return [{"params": list(network.parameters()), "lr": learning_rate}]


def _build_autoencoder(
    variant: Variant, factors: int, config: Config, autocast: Autocast
) -> Autoencoder:
    """Build the kind of autoencoder that the settings name."""
    channels, model, size = variant.channels, config.model, variant.size
    if model.kind == "zerodim":
        images = min(variant.n_images, config.data.max_images)
        return ZeroDimAutoencoder(
            channels, variant.n_values, model, config.zerodim, images, autocast, size
        )
    gaussian = config.loss.prior_matching == "kl"
    return ModularAutoencoder(channels, factors, gaussian, model, autocast, size)


@contextmanager
def frozen(network: nn.Module) -> Iterator[None]:
    """Freeze the weights of `network`; gradients still pass through it."""
    network.requires_grad_(False)
    try:
        yield
    finally:
        network.requires_grad_(True)
