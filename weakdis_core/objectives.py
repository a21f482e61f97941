"""One optimisation step of each network: the paper's equations in order, then the additions."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from weakdis_core import losses
from weakdis_core.coding import Coding
from weakdis_core.config import Config
from weakdis_core.models.autoencoder import Posterior
from weakdis_core.networks import Networks, frozen
from weakdis_core.priors import Prior


@dataclass
class Batch:
    """Images of one step: unlabelled ones first, then labelled ones.

    Attributes:
        images: `(unlabelled + labelled, channels, 64, 64)` in [0, 1].
        values: `(labelled, coded)` components of the labelled images.
        rows: `(labelled,)` positions of the labelled images in the labelled subset.
        labelled_codes: `(labelled, partitions, latent)`, filled in by the step.
    """

    images: Tensor
    values: Tensor
    rows: Tensor
    labelled_codes: Tensor | None = None


class Objectives:
    """The losses of a step and what minimises them.

    Args:
        config: Weights and switches of the terms.
        networks: What is trained.
        coding: What the components stand for, and the relations between them.
        generators: Named sources of noise: `noise`, `codes`, `priors`, `relations`.
    """

    def __init__(
        self,
        config: Config,
        networks: Networks,
        coding: Coding,
        generators: dict[str, torch.Generator],
    ) -> None:
        self.config = config
        self.loss = config.loss
        self.networks = networks
        self.coding = coding
        self.generators = generators

    def autoencoder_step(
        self, batch: Batch, prior: Prior, stage: str, step: int
    ) -> dict[str, Tensor]:
        """Eq. 1 and 2 and the additions to them; the loss terms, unweighted and detached."""
        model, loss = self.networks.autoencoder, self.loss
        learns_codes = stage != "ending"
        n_labelled = len(batch.values)
        with torch.set_grad_enabled(learns_codes):
            posterior = model.encode(self._seen(batch.images, stage))
            means = stage == "ending" and self.config.training.ending_means
            codes = posterior.means if means else posterior.sample(self.generators["codes"])
        batch.labelled_codes = codes[-n_labelled:].detach()
        terms: dict[str, Tensor] = {}
        weights: dict[str, float] = {}

        def add(name: str, weight: float, term: Tensor) -> None:
            terms[name], weights[name] = term, weight

        logits = model.decode(self._resampled(codes, prior, stage))
        add(
            "reconstruction",
            loss.reconstruction_weight,
            losses.reconstruction(logits, batch.images),
        )
        if learns_codes:
            if loss.prior_matching == "kl":
                kl = self._kl(posterior, batch.values, prior, stage)
                add("kl", loss.lambda_ * loss.reconstruction_weight, kl)
            else:
                terms["discriminator"] = self._discriminator_step(codes.detach(), prior)
                with frozen(self.networks.discriminator):
                    judged = self.networks.discriminator(codes)
                add("adversary", loss.lambda_, losses.adversary(judged))
        if stage == "full" and loss.label_weight:
            labelled = losses.component_cross_entropy(
                prior, codes[-n_labelled:], batch.values, loss.label_temperature
            )
            add("label", loss.label_weight, labelled)
        if stage != "warmup" and loss.cycle_weight and self._fraction(step) >= loss.cycle_start:
            add("cycle", loss.cycle_weight, self._cycle(batch, prior))
        total = torch.stack([weight * terms[name] for name, weight in weights.items()]).sum()
        self.networks.minimise("autoencoder", total, self.config.training.clip)
        return {name: term.detach() for name, term in terms.items()}

    def relational_step(self, prior: Prior) -> dict[str, Tensor]:
        """Eq. 3 on codes sampled from the priors."""
        n, generator = self.config.training.relation_batch_size, self.generators["relations"]
        codes, relation, factor, sample = self.relation_batch(prior, n, generator)
        output = self.networks.relational(codes, relation)
        term = losses.relational(output, codes, factor, sample)
        self.networks.minimise("relational", term)
        return {"relational": term.detach()}

    @torch.no_grad()
    def relation_batch(
        self, prior: Prior, n: int, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Inputs and targets of the relational learner.

        Returns:
            Codes `(n, partitions, latent)`, relations `(n,)`, affected factors `(n,)`, and a fresh
            sample of each affected factor's new component `(n, latent)`.
        """
        values = self.coding.sample_starts(n, generator)
        codes = prior.sample(prior.padded(values), generator)
        relation = self.coding.sample_relations(values, generator)
        target = prior.padded(self.coding.target(values, relation))
        factor = self.coding.affected[relation]
        fresh = prior.sample(target, generator)
        return codes, relation, factor, fresh[torch.arange(n, device=fresh.device), factor]

    def _fraction(self, step: int) -> float:
        return step / self.config.training.steps

    def _discriminator_step(self, codes: Tensor, prior: Prior) -> Tensor:
        generator = self.generators["priors"]
        samples = prior.sample(prior.sample_components(len(codes), generator), generator)
        network = self.networks.discriminator
        # One pass over both: larger products are faster.
        term = losses.discriminator(*network(torch.cat([samples, codes])).chunk(2))
        self.networks.minimise("discriminator", term)
        return term

    def _kl(self, posterior: Posterior, values: Tensor, prior: Prior, stage: str) -> Tensor:
        """Divergence from the mixture; for labelled codes, from the component of their value."""
        means, log_variances = posterior
        assert log_variances is not None  # a Gaussian encoder comes with this prior matching
        if stage == "warmup":
            return prior.kl(means, log_variances).sum(1).mean()
        n = len(values)
        free = prior.kl(means[:-n], log_variances[:-n])
        known = prior.kl(means[-n:], log_variances[-n:], prior.padded(values))
        return torch.cat([free, known]).sum(1).mean()

    def _seen(self, images: Tensor, stage: str) -> Tensor:
        """What the encoder sees of the images: with noise while it learns."""
        if not self.loss.image_noise or stage == "ending":
            return images
        generator = self.generators["noise"]
        noise = torch.randn(
            images.shape, generator=generator, device=images.device, dtype=images.dtype
        )
        return (images + self.loss.image_noise * noise).clamp(0, 1)

    def _resampled(self, codes: Tensor, prior: Prior, stage: str) -> Tensor:
        """Codes for the decoder: some confident factor partitions as fresh component samples."""
        loss, factors = self.loss, self._factors()
        if not loss.resample_probability or stage == "warmup":
            return codes
        generator = self.generators["codes"]
        with torch.no_grad():
            confidence, values = prior.log_posterior(codes).max(-1)
            chance = torch.rand(confidence.shape, generator=generator, device=codes.device)
            chosen = chance < loss.resample_probability
            chosen &= confidence.exp() > loss.resample_confidence
            chosen[:, factors:] = False
            fresh = prior.sample(values, generator)
        return torch.where(chosen.unsqueeze(-1), fresh, codes)

    def _cycle(self, batch: Batch, prior: Prior) -> Tensor:
        """Decoded codes of known values, read back by the frozen encoder, must keep the values."""
        model, n = self.networks.autoencoder, self.config.training.relation_batch_size
        assert batch.labelled_codes is not None
        with torch.no_grad():
            values, codes = self._prior_codes(prior, n, self.generators["priors"])
            swaps = round(self.loss.cycle_swaps * n)
            if swaps:
                values[:swaps], codes[:swaps] = self._swapped(batch, swaps)
        images = model.decode(codes).sigmoid()
        with frozen(model.encoder):
            read = model.encode(images).means
        return losses.component_cross_entropy(prior, read, values)

    def _swapped(self, batch: Batch, n: int) -> tuple[Tensor, Tensor]:
        """Labelled codes whose every partition comes from an image of its own, and their values."""
        codes = batch.labelled_codes
        assert codes is not None
        partitions = codes.shape[1]
        rows = torch.randint(
            len(codes), (n, partitions), generator=self.generators["priors"], device=codes.device
        )
        column = torch.arange(partitions, device=codes.device)
        factors = self._factors()
        return batch.values[rows[:, :factors], column[:factors]], codes[rows, column]

    def _prior_codes(
        self, prior: Prior, n: int, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Uniform components `(n, coded)` and a code of each, `(n, partitions, latent)`."""
        values = self.coding.sample(n, generator)
        return values, prior.sample(prior.padded(values), generator)

    def _factors(self) -> int:
        return self.networks.relational.factors
