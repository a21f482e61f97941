"""Few labels: a VAE with a regulariser and a supervised term (Locatello et al., 2020).

"Disentangling factors of variation using few labels" (arXiv 1905.01258). One latent dimension
belongs to each factor, the rest to nuisance. All functions are pure; a code dimension is one of
`(batch, latents)`.
"""

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from weakdis_core.config.settings import Regulariser


def gaussian_kl(means: Tensor, log_variances: Tensor) -> Tensor:
    """Return KL(q(z|x) || N(0, I)), summed over latents and averaged over the batch."""
    each = means.square() + log_variances.exp() - log_variances - 1
    return 0.5 * each.sum(1).mean()


def total_correlation(codes: Tensor, means: Tensor, log_variances: Tensor) -> Tensor:
    """Estimate KL(q(z) || prod_j q(z_j)) from a batch (beta-TCVAE; Chen et al., 2018, naive form).

    The batch's own posteriors are the mixture q(z), so the estimate is biased for small batches,
    which adds about a constant.

    Args:
        codes: Samples of the posteriors, `(batch, latents)`.
        means: `(batch, latents)`.
        log_variances: `(batch, latents)`.
    """
    difference = codes.unsqueeze(1) - means
    each = difference.square() * (-log_variances).exp() + log_variances + math.log(2 * math.pi)
    densities = -0.5 * each
    n = math.log(len(codes))
    joint = densities.sum(2).logsumexp(1) - n
    single = (densities.logsumexp(1) - n).sum(1)
    return (joint - single).mean()


def dip_penalty(means: Tensor, log_variances: Tensor, form: Literal["i", "ii"]) -> Tensor:
    """Return the deviation of the codes' covariance from the identity (Kumar et al., 2018).

    Form I takes the covariance of the means and weighs its diagonal ten times as much as the rest;
    form II adds the mean variance of the posteriors and weighs both equally.
    """
    centred = means - means.mean(0)
    covariance = centred.mT @ centred / len(means)
    if form == "ii":
        covariance = covariance + log_variances.exp().mean(0).diag()
    diagonal = covariance.diagonal()
    rest = covariance.square().sum() - diagonal.square().sum()
    return rest + (10.0 if form == "i" else 1.0) * (diagonal - 1).square().sum()


def permute_latents(codes: Tensor, generator: torch.Generator) -> Tensor:
    """Permute each latent over the batch: samples of the product of the marginals (FactorVAE)."""
    chances = torch.rand(codes.shape, generator=generator, device=codes.device)
    return codes.gather(0, chances.argsort(0))


def supervised(
    means: Tensor, values: Tensor, n_values: Tensor, form: Literal["xent", "l2"]
) -> Tensor:
    """Return the loss of the labels, summed over images and factors as in the published code.

    Factors are ordered numbers here: value v of n has the target v/n.

    Args:
        means: Codes of labelled images, `(labelled, latents)`, the factors' first.
        values: `(labelled, factors)`, -1 where unknown.
        n_values: `(factors,)`.
        form: Cross-entropy of the sigmoid of the code, or its squared error.
    """
    factors = values.shape[1]
    own, target = means[:, :factors], values / n_values
    if form == "xent":
        each = F.binary_cross_entropy_with_logits(own, target, reduction="none")
    else:
        each = (own.sigmoid() - target).square()
    return each.masked_fill(values < 0, 0).sum()


def regularise(
    name: Regulariser, strength: float, codes: Tensor, means: Tensor, log_variances: Tensor
) -> Tensor:
    """Return the regulariser `name`; FactorVAE's total correlation needs a discriminator."""
    kl = gaussian_kl(means, log_variances)
    if name == "beta_vae":
        return strength * kl
    if name == "beta_tcvae":
        return kl + (strength - 1) * total_correlation(codes, means, log_variances)
    if name in ("dip_vae_i", "dip_vae_ii"):
        form: Literal["i", "ii"] = "i" if name == "dip_vae_i" else "ii"
        return kl + strength * dip_penalty(means, log_variances, form)
    return kl
