"""One optimisation step of the few-labels baseline."""

import torch
from torch import Tensor

from weakdis_core.baselines.few_labels import permute_latents, regularise, supervised
from weakdis_core.models.networks import frozen
from weakdis_core.priors.prior import Prior
from weakdis_core.training import losses
from weakdis_core.training.batches import Batch
from weakdis_core.training.objectives import Objectives


class FewLabelsObjectives(Objectives):
    """The loss of Locatello et al. (2020) in place of Eq. 1 and 2."""

    def autoencoder_step(
        self, batch: Batch, prior: Prior, stage: str, step: int
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Minimise the VAE's loss on unlabelled images, and the supervised term on labelled ones.

        Returns:
            The loss terms, unweighted, and the codes of the labelled images
            `(labelled, partitions, 1)`, both detached.
        """
        model, own = self.networks.autoencoder, self.config.few_labels
        n = len(batch.images) - len(batch.values)
        posterior = model.encode(batch.images)
        assert posterior.log_variances is not None  # A VAE's encoder is Gaussian.
        means, log_variances = posterior.means.flatten(1), posterior.log_variances.flatten(1)
        codes = posterior.sample(self.generators["codes"])[:n]
        flat = codes.flatten(1)
        reconstruction = losses.reconstruction(model.decode(codes), batch.images[:n])
        regulariser = regularise(own.regulariser, own.strength, flat, means[:n], log_variances[:n])
        terms: dict[str, Tensor] = {}
        if own.regulariser == "factor_vae":
            terms |= self._separate_latents(flat.detach())
            with frozen(self.networks.discriminator):
                correlation = self.networks.discriminator(flat).mean()
            regulariser = regulariser + own.strength * correlation
        n_values = self.coding.relations.n_values
        label = supervised(means[n:], batch.values, n_values, own.supervised)
        total = reconstruction + regulariser + own.supervised_weight * label
        self.networks.minimise("autoencoder", total, self.config.training.clip)
        terms |= {"reconstruction": reconstruction, "regulariser": regulariser, "label": label}
        return {name: term.detach() for name, term in terms.items()}, posterior.means[n:].detach()

    def _separate_latents(self, codes: Tensor) -> dict[str, Tensor]:
        """Train the discriminator of FactorVAE: codes against permuted ones."""
        permuted = permute_latents(codes, self.generators["priors"])
        logits = self.networks.discriminator(torch.cat([codes, permuted]))
        term = losses.discriminator(*logits.chunk(2))
        self.networks.minimise("discriminator", term)
        return {"discriminator": term}
