"""The paper's equations 1-3 and the additions to them, as pure functions of tensors.

Every loss is a scalar in nats (or squared code units where it says so), averaged over the batch.
None of them steps an optimiser or draws a random number.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from weakdis_core.priors.prior import Prior


def reconstruction(logits: Tensor, images: Tensor) -> Tensor:
    """First term of Eq. 1: -log p(x | z_1..z_K), Bernoulli, summed over pixels, batch mean.

    Args:
        logits: `(batch, channels, height, width)` decoder output.
        images: Same shape, intensities in [0, 1] (binary for dSprites).
    """
    total = F.binary_cross_entropy_with_logits(logits, images, reduction="sum")
    return total / len(images)


def discriminator(prior_logits: Tensor, code_logits: Tensor) -> Tensor:
    """Eq. 2, the discriminator's side: prior samples are 1, encoder codes 0.

    Args:
        prior_logits: Discriminator output on samples of the prior, any shape.
        code_logits: Discriminator output on (detached) codes.
    """
    return F.softplus(-prior_logits).mean() + F.softplus(code_logits).mean()


def adversary(code_logits: Tensor) -> Tensor:
    """Eq. 2, the encoder's side, non-saturating: codes should be taken for prior samples."""
    return F.softplus(-code_logits).mean()


def component_cross_entropy(
    prior: Prior, codes: Tensor, values: Tensor, temperature: float = 1.0
) -> Tensor:
    """Addition: cross-entropy of log N(z_k; mu_kv, Sigma_kv) over v, summed over factors.

    Args:
        prior: The priors of all partitions.
        codes: `(batch, partitions, latent)`.
        values: `(batch, factors)` the component each factor's code belongs to.
        temperature: Divides the log-densities.
    """
    factors = values.shape[-1]
    log_posterior = prior.log_posterior(codes, temperature)[:, :factors]
    chosen = log_posterior.gather(-1, values.unsqueeze(-1)).squeeze(-1)
    return -chosen.sum(-1).mean()


def relational(output: Tensor, codes: Tensor, factor: Tensor, sample: Tensor) -> Tensor:
    """Eq. 3: the affected partition meets its new component, the others stay as they are.

    Args:
        output: `(batch, partitions, latent)` the relational learner's z'.
        codes: Same shape, its input z.
        factor: `(batch,)` affected factor of each row.
        sample: `(batch, latent)` a fresh sample of the component of the factor's new value.

    Returns:
        Squared differences, summed over partitions and latent dimensions, batch mean.
    """
    affected = F.one_hot(factor, codes.shape[1]).unsqueeze(-1).bool()
    wanted = torch.where(affected, sample.unsqueeze(1), codes)
    return (output - wanted).square().sum((1, 2)).mean()
