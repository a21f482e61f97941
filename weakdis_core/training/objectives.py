"""One optimisation step of each network: the paper's equations in order, then the additions."""

from dataclasses import dataclass

import torch
from torch import Tensor

from weakdis_core.config.config import Config
from weakdis_core.models.autoencoder import Posterior
from weakdis_core.models.networks import Networks, frozen
from weakdis_core.models.replacement import Replacement
from weakdis_core.priors.coding import Coding
from weakdis_core.priors.prior import Prior
from weakdis_core.seeding import noise_like
from weakdis_core.training import losses
from weakdis_core.training.batches import Batch
from weakdis_core.training.consistency import Consistency, ramp


@dataclass(frozen=True, eq=False)
class Objectives:
    """Optimisation steps of the autoencoder, the discriminator and the relational learner.

    Attributes:
        config: Weights and switches of the loss terms.
        networks: The networks and their optimisers.
        coding: The meaning of the components, and the relations between them.
        generators: Sources of randomness: `noise`, `codes`, `priors`, `relations`.
        consistency: Reads the values of unlabelled images.
    """

    config: Config
    networks: Networks
    coding: Coding
    generators: dict[str, torch.Generator]
    consistency: Consistency

    def autoencoder_step(
        self, batch: Batch, prior: Prior, stage: str, step: int
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Minimise Eq. 1 and 2 and the additions to them.

        Returns:
            The loss terms, unweighted, and the codes of the labelled images
            `(labelled, partitions, latent)`, both detached.
        """
        model, loss = self.networks.autoencoder, self.config.loss
        learns_codes = stage != "ending"
        with torch.set_grad_enabled(learns_codes):
            posterior = model.encode(self._add_noise(batch.images, stage))
            means = stage == "ending" and self.config.training.ending_means
            codes = posterior.means if means else posterior.sample(self.generators["codes"])
        labelled_codes = codes[-len(batch.values) :]
        terms: dict[str, Tensor] = {}
        weighted: list[Tensor] = []

        def add(name: str, weight: float, term: Tensor) -> None:
            terms[name] = term.detach()
            weighted.append(weight * term)

        fraction = step / self.config.training.steps
        logits = model.decode(self._resample(codes, prior, stage))
        reconstruction = losses.reconstruction(logits, batch.images)
        add("reconstruction", loss.reconstruction_weight, reconstruction)
        if learns_codes:
            grown = min(1.0, fraction / loss.lambda_ramp) if loss.lambda_ramp else 1.0
            if loss.prior_matching == "kl":
                kl = self._kl(posterior, batch.values, prior, stage)
                add("kl", grown * loss.lambda_ * loss.reconstruction_weight, kl)
            else:
                terms |= self._discriminator_step(codes.detach(), prior)
                with frozen(self.networks.discriminator):
                    logits = self.networks.discriminator(codes)
                add("adversary", grown * loss.lambda_, losses.adversary(logits))
        if stage == "full" and loss.label_weight:
            label = losses.component_cross_entropy(
                prior, labelled_codes, batch.values, loss.label_temperature
            )
            add("label", loss.label_weight, label)
        if stage == "full" and loss.consistency_weight and (share := ramp(fraction)):
            term = self._consistency(codes, batch, prior)
            add("consistency", share * loss.consistency_weight, term)
        if stage == "full" and loss.sleep_weight and (share := ramp(fraction)):
            add("sleep", share * loss.sleep_weight, self._sleep(codes.detach(), prior))
        total = torch.stack(weighted).sum()
        self.networks.minimise("autoencoder", total, self.config.training.clip)
        return terms, labelled_codes.detach()

    def relational_step(self, prior: Prior) -> dict[str, Tensor]:
        """Minimise Eq. 3 on codes sampled from the priors; return the loss term, detached.

        A model that changes factors by `Replacement` has nothing to learn and returns no term.
        """
        if isinstance(self.networks.relational, Replacement):
            return {}
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
        """Draw inputs and targets of the relational learner.

        Returns:
            Codes `(n, partitions, latent)`, relations `(n,)`, affected partitions `(n,)`, and a
            sample of each affected partition's new component `(n, latent)`.
        """
        values = self.coding.sample_starts(n, generator)
        codes = prior.sample(prior.pad(values), generator)
        relation = self.coding.sample_relations(values, generator)
        target = prior.pad(self.coding.target(values, relation))
        factor = self.coding.affected[relation]
        fresh = prior.sample(target, generator)
        return codes, relation, factor, fresh[torch.arange(n, device=fresh.device), factor]

    def _discriminator_step(self, codes: Tensor, prior: Prior) -> dict[str, Tensor]:
        generator = self.generators["priors"]
        samples = prior.sample(prior.sample_components(len(codes), generator), generator)
        network = self.networks.discriminator
        # One pass, because larger products are faster.
        term = losses.discriminator(*network(torch.cat([samples, codes])).chunk(2))
        self.networks.minimise("discriminator", term)
        return {"discriminator": term.detach()}

    def _kl(self, posterior: Posterior, values: Tensor, prior: Prior, stage: str) -> Tensor:
        """Return the divergence from the mixture, or from a labelled code's own component."""
        means, log_variances = posterior
        assert log_variances is not None  # With `prior_matching = "kl"` the encoder is Gaussian.
        components = torch.full(means.shape[:2], -1, device=means.device)
        if stage != "warmup":
            components[-len(values) :] = prior.pad(values)
        weights = torch.ones(means.shape[1], device=means.device)
        weights[self.networks.relational.factors :] = self.config.loss.nuisance_weight
        return (prior.kl(means, log_variances, components) @ weights).mean()

    def _add_noise(self, images: Tensor, stage: str) -> Tensor:
        """Add noise to the encoder's input while the encoder learns."""
        strength = self.config.loss.image_noise
        if not strength or stage == "ending":
            return images
        noise = noise_like(images, self.generators["noise"])
        return (images + strength * noise).clamp(0, 1)

    def _resample(self, codes: Tensor, prior: Prior, stage: str) -> Tensor:
        """Replace some confident factor partitions by samples of their components."""
        loss = self.config.loss
        if not loss.resample_probability or stage == "warmup":
            return codes
        generator = self.generators["codes"]
        with torch.no_grad():
            confidence, values = prior.log_posterior(codes).max(-1)
            chance = torch.rand(confidence.shape, generator=generator, device=codes.device)
            chosen = chance < loss.resample_probability
            chosen &= confidence.exp() > loss.resample_confidence
            chosen[:, self.networks.relational.factors :] = False
            fresh = prior.sample(values, generator)
        return torch.where(chosen.unsqueeze(-1), fresh, codes)

    def _consistency(self, codes: Tensor, batch: Batch, prior: Prior) -> Tensor:
        """Return the loss of values that are read in clean images and not in transformed ones."""
        temperature = self.config.loss.label_temperature
        with torch.no_grad():
            clean = self.networks.autoencoder.encode(batch.clean).means
        values = self.consistency.targets(prior, clean, temperature)
        return losses.component_cross_entropy(prior, codes[: len(clean)], values, temperature)

    def _sleep(self, batch_codes: Tensor, prior: Prior) -> Tensor:
        """Return the loss of values that the encoder reads in images of prior samples.

        Their nuisance partitions are those of the batch's codes `(batch, partitions, latent)`.
        """
        model, factors = self.networks.autoencoder, self.networks.relational.factors
        generator = self.generators["priors"]
        with torch.no_grad():
            values = self.coding.sample(self.config.training.labelled_batch_size, generator)
            codes = prior.sample(prior.pad(values), generator)
            codes[:, factors:] = batch_codes[: len(codes), factors:]
            images = model.decode(codes).sigmoid()
        read = model.encode(images).sample(self.generators["codes"])
        temperature = self.config.loss.label_temperature
        return losses.component_cross_entropy(prior, read, values, temperature)
