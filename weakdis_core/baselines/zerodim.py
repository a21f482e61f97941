"""ZeroDIM: factor classifiers, embeddings of values and a residual code (Gabbay et al., 2021).

"An image is worth more than a thousand words: towards disentanglement in the wild" (arXiv
2106.15610). The functions are pure.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from weakdis_core.config.settings import ZeroDimSettings
from weakdis_core.priors.fitting import LabelledCodes
from weakdis_core.priors.prior import Prior, SharedPrior


class OneHotCodes(LabelledCodes):
    """Priors of probabilities: the mean of a value's component is certainty.

    The most likely component of a code is the classifier's value, and a factor is changed to its
    one-hot code. A value without a label has no component.
    """

    def fit(self) -> Prior:
        """Return the prior, which does not depend on the codes."""
        coded, latent = self.components.shape[1], self.codes.shape[-1]
        device = self.codes.device
        value = torch.arange(self.largest, device=device)
        labelled = (self.components.unsqueeze(-1) == value).any(0)
        log_weights = labelled.float().log().log_softmax(-1)
        means = torch.eye(self.largest, latent, device=device).expand(coded, -1, -1)
        covariance = self.loss.covariance_floor * torch.eye(latent, device=device)
        covariances = covariance.expand(coded, 1, -1, -1).clone()
        prior = SharedPrior.build(log_weights, means.clone(), covariances)
        return prior.with_nuisance(self.codes.shape[1] - coded)


def entropy(log_probabilities: Tensor) -> Tensor:
    """Return the entropy of values, summed over factors and averaged over the batch, in nats.

    Args:
        log_probabilities: `(batch, factors, values)`; -inf is padding.
    """
    each = log_probabilities.exp() * log_probabilities.clamp(min=-100)
    return -each.sum((1, 2)).mean()


def cross_entropy(log_probabilities: Tensor, values: Tensor) -> Tensor:
    """Return the classifiers' loss on labels, summed over factors and averaged over the batch.

    Args:
        log_probabilities: `(labelled, factors, values)`; -inf is padding.
        values: `(labelled, factors)`, -1 where unknown.
    """
    own = log_probabilities.gather(-1, values.clamp(min=0).unsqueeze(-1)).squeeze(-1)
    return -own.masked_fill(values < 0, 0).sum(1).mean()


def reconstruction(logits: Tensor, images: Tensor, own: ZeroDimSettings) -> Tensor:
    """Return the reconstruction loss, a mean over pixels and images."""
    if own.reconstruction == "squared_error":
        return F.mse_loss(logits.sigmoid(), images)
    return F.binary_cross_entropy_with_logits(logits, images)


def complete(probabilities: Tensor, values: Tensor) -> Tensor:
    """Return probabilities of labelled images: one-hot where the value is known.

    Args:
        probabilities: As read, `(labelled, factors, values)`.
        values: `(labelled, factors)`, -1 where unknown.
    """
    known = (values >= 0).unsqueeze(-1)
    one_hot = F.one_hot(values.clamp(min=0), probabilities.shape[-1]).to(probabilities.dtype)
    return torch.where(known, one_hot, probabilities)
