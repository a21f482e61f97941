"""The paper's equations 1 to 3 and the additions to them, as pure functions of tensors.

Every loss is a scalar, averaged over the batch, and in nats unless stated otherwise.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from weakdis_core.priors.prior import Prior


def reconstruction(logits: Tensor, images: Tensor) -> Tensor:
    """Return the first term of Eq. 1: -log p(x | z_1..z_K), Bernoulli, summed over pixels.

    Args:
        logits: `(batch, channels, height, width)` decoder output.
        images: Same shape, intensities in [0, 1] (binary for dSprites).
    """
    total = F.binary_cross_entropy_with_logits(logits, images, reduction="sum")
    return total / len(images)


def discriminator(prior_logits: Tensor, code_logits: Tensor) -> Tensor:
    """Return the discriminator's loss in Eq. 2; its target is 1 for samples and 0 for codes.

    Args:
        prior_logits: Discriminator output on samples of the prior, any shape.
        code_logits: Discriminator output on (detached) codes.
    """
    return F.softplus(-prior_logits).mean() + F.softplus(code_logits).mean()


def adversary(code_logits: Tensor) -> Tensor:
    """Return the encoder's loss in Eq. 2, non-saturating: its target for codes is 1."""
    return F.softplus(-code_logits).mean()


def component_cross_entropy(
    prior: Prior, codes: Tensor, values: Tensor, temperature: float = 1.0
) -> Tensor:
    """Return an addition: the cross-entropy of log N(z_k; mu_kv, Sigma_kv) over v, summed over k.

    Args:
        prior: The priors of all partitions.
        codes: `(batch, partitions, latent)`.
        values: `(batch, coded)` the component that each code belongs to, -1 where unknown; these
            partitions add nothing, nor do values without a component.
        temperature: Divides the log-densities.
    """
    factors = values.shape[-1]
    log_posterior = prior.log_posterior(codes, temperature)[:, :factors]
    chosen = log_posterior.gather(-1, values.clamp(min=0).unsqueeze(-1)).squeeze(-1)
    return -chosen.masked_fill((values < 0) | (chosen == -torch.inf), 0).sum(-1).mean()


def relational(output: Tensor, codes: Tensor, factor: Tensor, sample: Tensor) -> Tensor:
    """Return Eq. 3: the affected partition moves to its new component, the others stay.

    Args:
        output: `(batch, partitions, latent)` the relational learner's z'.
        codes: Same shape, its input z.
        factor: `(batch,)` affected partition of each row.
        sample: `(batch, latent)` a sample of that partition's new component.

    Returns:
        Squared differences, summed over partitions and latent dimensions.
    """
    affected = F.one_hot(factor, codes.shape[1]).unsqueeze(-1).bool()
    wanted = torch.where(affected, sample.unsqueeze(1), codes)
    return (output - wanted).square().sum((1, 2)).mean()
