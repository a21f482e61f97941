"""Fitting the adaptive priors: a component for each factor value, from the labelled codes with it.

A covariance is shrunk as Ledoit & Wolf (2004) do, so that it is never singular however few labels
there are. `weakdis_core/shared_prior.py` fits one for all components of a partition.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from weakdis_core.errors import UserError
from weakdis_core.priors import Prior


def fit_prior(
    codes: Tensor,
    values: Tensor,
    n_values: Tensor,
    components: int,
    *,
    nuisance: int = 0,
    scale: float = 1.0,
    floor: float = 1e-2,
    standardise: bool = False,
) -> Prior:
    """The adaptive prior: a component for each factor value, from the labelled codes that have it.

    Covariances are shrunk as Ledoit & Wolf (2004) do. A value with one or
    two labelled samples gets the pooled covariance of its factor.

    Args:
        codes: `(labels, partitions, latent)` encoded labelled images.
        values: `(labels, factors)` their factor values; the first partitions are the factors'.
        n_values: `(factors,)` number of values of each factor. Every one must occur among `values`:
            see `require_every_value`, which waits for the device and so is called once, not here.
        components: The largest number of values, to which every mixture is padded.
        nuisance: Number of trailing partitions that keep N(0, I).
        scale: Factor on the covariances.
        floor: Added to the diagonal of the covariances.
        standardise: Rescale each mixture to zero mean and unit mean variance.
    """
    codes = codes.detach()
    factors = values.shape[-1]
    component = torch.arange(components, device=codes.device)
    member = (values.unsqueeze(-1) == component).to(codes.dtype)
    counts = member.sum(0)
    exists = component < n_values.unsqueeze(-1)
    factor_codes = codes[:, :factors]
    if standardise:
        factor_codes = standardised(factor_codes)
    safe = counts.clamp(min=1).unsqueeze(-1)
    means = torch.einsum("lkv,lkd->kvd", member, factor_codes) / safe
    own = torch.einsum("lkv,kvd->lkd", member, means)
    covariances = _shrunk_covariances(factor_codes - own, member, counts)
    eye = torch.eye(codes.shape[-1], dtype=codes.dtype, device=codes.device)
    covariances = torch.where(exists[..., None, None], covariances * scale + floor * eye, eye)
    log_weights = (counts / counts.sum(-1, keepdim=True)).log().masked_fill(~exists, -math.inf)
    return Prior.build(log_weights, means, covariances).with_nuisance(nuisance)


def require_every_value(values: Tensor, n_values: tuple[int, ...]) -> None:
    """Check that a labelled subset can be fitted.

    Args:
        values: `(labels, factors)` factor values of the labelled images.
        n_values: Number of values of each factor.

    Raises:
        UserError: Some factor value has no labelled sample.
    """
    for factor, n in enumerate(n_values):
        missing = sorted(set(range(n)) - set(values[:, factor].tolist()))
        if missing:
            raise UserError(
                f"data.labels: {len(values)} is not enough: factor {factor} has no labelled sample "
                f"of value {missing[0]}; every value of every factor needs one"
            )


def standardised(codes: Tensor) -> Tensor:
    """Codes `(n, partitions, latent)` with zero mean and unit mean variance in each partition."""
    centred = codes - codes.mean(0)
    return centred / centred.square().mean((0, 2), keepdim=True).sqrt().clamp(min=1e-6)


def ledoit_wolf(empirical: Tensor, fourth: Tensor, n: Tensor | int) -> Tensor:
    """Covariances shrunk towards a multiple of the identity (Ledoit & Wolf, 2004).

    Args:
        empirical: `(..., latent, latent)` mean outer products of residuals.
        fourth: `(...)` mean of the residuals' squared lengths, squared.
        n: Number of residuals, `(...)` or a scalar.
    """
    mean_variance = empirical.diagonal(dim1=-2, dim2=-1).mean(-1)
    eye = torch.eye(empirical.shape[-1], dtype=empirical.dtype, device=empirical.device)
    target = mean_variance[..., None, None] * eye
    distance = (empirical - target).square().sum((-2, -1))
    noise = (fourth - empirical.square().sum((-2, -1))) / n
    shrinkage = (noise.clamp(min=0) / distance.clamp(min=1e-12)).clamp(max=1)[..., None, None]
    return (1 - shrinkage) * empirical + shrinkage * target


def _shrunk_covariances(residuals: Tensor, member: Tensor, counts: Tensor) -> Tensor:
    """Ledoit-Wolf covariance of each component, `(factors, components, latent, latent)`."""
    n = counts.clamp(min=1)
    empirical = torch.einsum("lkv,lki,lkj->kvij", member, residuals, residuals) / n[..., None, None]
    pooled = torch.einsum("lki,lkj->kij", residuals, residuals) / len(residuals)
    fourth = torch.einsum("lkv,lk->kv", member, residuals.square().sum(-1).square()) / n
    shrunk = ledoit_wolf(empirical, fourth, n)
    # One sample has no variance, and two tell nothing of how far to shrink.
    return torch.where((counts > 2)[..., None, None], shrunk, pooled.unsqueeze(1))
