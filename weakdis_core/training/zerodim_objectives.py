"""One optimisation step of ZeroDIM: three stages on the trainer's warmup, full and ending."""

import torch
from torch import Tensor
from torch.nn import functional as F

from weakdis_core.baselines.zerodim import complete, cross_entropy, entropy, reconstruction
from weakdis_core.models.zerodim_autoencoder import ZeroDimAutoencoder
from weakdis_core.priors.prior import Prior
from weakdis_core.seeding import noise_like
from weakdis_core.training.batches import Batch
from weakdis_core.training.objectives import Objectives

_ENTROPY_FROM = 0.1
"""Fraction of the first stage without the entropy term: 20 of 200 epochs."""


class ZeroDimObjectives(Objectives):
    """The losses of Gabbay et al. (2021) in place of Eq. 1 and 2.

    The first stage (warmup) trains classifiers, embeddings and generator, and optimises a residual
    code for each image. The second (full) fits the residual encoder to these codes. The third
    (ending) tunes the generator and the residual encoder together.
    """

    def autoencoder_step(
        self, batch: Batch, prior: Prior, stage: str, step: int
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Minimise the loss of the stage.

        Returns:
            The loss terms, unweighted and detached, and in place of the labelled images' codes
            zeros, because this prior does not depend on codes.
        """
        model = self.networks.autoencoder
        assert isinstance(model, ZeroDimAutoencoder)
        if stage == "warmup":
            total, terms = self._optimise_codes(model, batch, step)
        else:
            total, terms = self._fit_residuals(model, batch, with_generator=stage == "ending")
        self.networks.minimise("autoencoder", total, self.config.training.clip)
        none = total.new_zeros(len(batch.values), model.partitions, model.latent)
        return {name: term.detach() for name, term in terms.items()}, none

    def _optimise_codes(
        self, model: ZeroDimAutoencoder, batch: Batch, step: int
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss of the first stage, and its terms."""
        own, n = self.config.zerodim, len(batch.images) - len(batch.values)
        log_probabilities = model.classify(batch.images)
        read = log_probabilities.exp()
        # An unlabelled image moves no embedding.
        embedded = torch.cat(
            [
                model.embed(read[:n], model.embeddings.detach()),
                model.embed(complete(read[n:], batch.values), model.embeddings),
            ]
        )
        residual = model.residuals[batch.index]
        noise = own.residual_noise * noise_like(residual, self.generators["noise"])
        logits = model.generate(embedded, residual + noise)
        lengths = residual.square().sum(1)
        terms = {
            "reconstruction": reconstruction(logits[:n], batch.images[:n], own),
            "entropy": entropy(log_probabilities[:n]),
            "label": cross_entropy(log_probabilities[n:], batch.values),
        }
        late = step >= _ENTROPY_FROM * self.config.training.warmup_steps
        total = terms["reconstruction"] + own.residual_weight * lengths[:n].mean()
        total = total + late * own.entropy_weight * terms["entropy"]
        labelled = reconstruction(logits[n:], batch.images[n:], own)
        labelled = labelled + own.residual_weight * lengths[n:].mean()
        labelled = labelled + own.label_weight * terms["label"]
        return total + own.labelled_factor * labelled, terms

    def _fit_residuals(
        self, model: ZeroDimAutoencoder, batch: Batch, with_generator: bool
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss of the residual encoder, and of the generator in the third stage."""
        own = self.config.zerodim
        found = model.encode_residual(batch.images)
        terms = {"residual": F.mse_loss(found, model.residuals[batch.index].detach())}
        if not with_generator:
            return terms["residual"], terms
        n = len(batch.images) - len(batch.values)
        with torch.no_grad():
            read = model.classify(batch.images).exp()
            read[n:] = complete(read[n:], batch.values)
            embedded = model.embed(read, model.embeddings)
        logits = model.generate(embedded, found)
        terms["reconstruction"] = reconstruction(logits, batch.images, own)
        return terms["reconstruction"] + own.tuning_weight * terms["residual"], terms
