"""One optimisation step of each network: the paper's equations in order, then the additions.

`RunningTerms` sums the loss terms between two reports.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from weakdis_core.config.config import Config
from weakdis_core.models.autoencoder import Posterior
from weakdis_core.models.networks import Networks, frozen
from weakdis_core.priors.coding import Coding
from weakdis_core.priors.prior import Prior
from weakdis_core.seeding import noise_like
from weakdis_core.training import losses


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


@dataclass(frozen=True, eq=False)
class Objectives:
    """The losses of a step and what minimises them.

    Attributes:
        config: Weights and switches of the terms.
        networks: What is trained.
        coding: What the components stand for, and the relations between them.
        generators: Named sources of noise: `noise`, `codes`, `priors`, `relations`.
    """

    config: Config
    networks: Networks
    coding: Coding
    generators: dict[str, torch.Generator]

    def autoencoder_step(
        self, batch: Batch, prior: Prior, stage: str, step: int
    ) -> dict[str, Tensor]:
        """Eq. 1 and 2 and the additions to them; the loss terms, unweighted and detached."""
        model, loss = self.networks.autoencoder, self.config.loss
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
        reconstruction = losses.reconstruction(logits, batch.images)
        add("reconstruction", loss.reconstruction_weight, reconstruction)
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
        fraction = step / self.config.training.steps
        if stage != "warmup" and loss.cycle_weight and fraction >= loss.cycle_start:
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
        strength = self.config.loss.image_noise
        if not strength or stage == "ending":
            return images
        noise = noise_like(images, self.generators["noise"])
        return (images + strength * noise).clamp(0, 1)

    def _resampled(self, codes: Tensor, prior: Prior, stage: str) -> Tensor:
        """Codes for the decoder: some confident factor partitions as fresh component samples."""
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

    def _cycle(self, batch: Batch, prior: Prior) -> Tensor:
        """Decoded codes of known values, read back by the frozen encoder, must keep the values."""
        model, n = self.networks.autoencoder, self.config.training.relation_batch_size
        assert batch.labelled_codes is not None
        with torch.no_grad():
            values = self.coding.sample(n, self.generators["priors"])
            codes = prior.sample(prior.padded(values), self.generators["priors"])
            swaps = round(self.config.loss.cycle_swaps * n)
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
        factors = self.networks.relational.factors
        return batch.values[rows[:, :factors], column[:factors]], codes[rows, column]


class TrainingDiverged(RuntimeError):
    """A loss is NaN or infinite; the message has the step, the terms and the config."""


class RunningTerms:
    """Running sums of named loss terms, each over the steps that had it.

    They stay on the device: to read a loss at every step would wait for it at every step.
    """

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def add(self, terms: dict[str, Tensor]) -> None:
        """Take in the terms of one step."""
        for name, value in terms.items():
            self._sums[name] = self._sums.get(name, 0) + value
            self._counts[name] = self._counts.get(name, 0) + 1

    def check(self, step: int, run: str) -> None:
        """Make sure that every loss so far is finite; waits for the device.

        The message names the steps done and the run.

        Raises:
            TrainingDiverged: One is NaN or infinite.
        """
        values = torch.stack(list(self._sums.values())).tolist()
        if not all(math.isfinite(value) for value in values):
            shown = ", ".join(f"{name} {value:.4g}" for name, value in self.means().items())
            raise TrainingDiverged(f"loss is not finite by step {step} ({shown}); {run}")

    def means(self) -> dict[str, float]:
        """Mean of each term over the steps that had it, as `train/<term>`; the sums start anew."""
        sums = zip(self._sums, torch.stack(list(self._sums.values())).tolist(), strict=True)
        metrics = {f"train/{name}": total / self._counts[name] for name, total in sums}
        self._sums, self._counts = {}, {}
        return metrics

    def state_dict(self) -> dict[str, Any]:
        """The sums and the numbers of steps behind them."""
        return {"sums": self._sums, "counts": self._counts}

    def load_state_dict(self, state: dict[str, Any], device: torch.device) -> None:
        """Take over what `state_dict` gave."""
        self._sums = {name: value.to(device) for name, value in state["sums"].items()}
        self._counts = dict(state["counts"])
