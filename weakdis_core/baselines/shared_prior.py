"""Mixtures whose components share one covariance: what thousands of components can afford.

A component for each combination owns ten labelled images or a single one, in forty dimensions: a
covariance of its own would be all shrinkage. With one for all (as in linear discriminant
analysis), a log-density is a distance to a mean in whitened coordinates, and those of a batch
under 12,000 components are one matrix product.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from weakdis_core.priors import Prior, standardised


@dataclass(frozen=True)
class SharedPrior(Prior):
    """A `Prior` with `(partitions, 1, latent, latent)` covariances, scales and inverse scales."""

    @classmethod
    def standard(
        cls, partitions: int, latent: int, device: torch.device | str = "cpu", components: int = 1
    ) -> Self:
        """N(0, I) for every partition (warmup), padded to `components`."""
        log_weights = torch.full((partitions, components), -math.inf, device=device)
        log_weights[:, 0] = 0.0
        means = torch.zeros(partitions, components, latent, device=device)
        eye = torch.eye(latent, device=device)
        return cls.build(log_weights, means, eye.expand(partitions, 1, -1, -1).clone())

    def sample(self, components: Tensor, generator: torch.Generator) -> Tensor:
        """One sample of a chosen component of each partition, as `Prior.sample`."""
        partitions, padded = self.means.shape[:2]
        offset = padded * torch.arange(partitions, device=components.device)
        flat = (components + offset).flatten()
        means = self.means.flatten(0, 1).index_select(0, flat).unflatten(0, components.shape)
        noise = torch.randn(
            means.shape, generator=generator, device=means.device, dtype=means.dtype
        )
        samples: Tensor = means + torch.einsum("pij,bpj->bpi", self.scales[:, 0], noise)
        return samples

    def component_log_prob(self, codes: Tensor) -> Tensor:
        """Log-density of each code under every component, as `Prior.component_log_prob`."""
        inverse = self.inverse_scales[:, 0]
        # Around the middle of the components: squares of large coordinates would lose digits.
        middle = (self.log_weights.exp().unsqueeze(-1) * self.means).sum(1)
        own = torch.einsum("bpj,pij->pbi", codes - middle, inverse)
        other = torch.einsum("pvj,pij->pvi", self.means - middle.unsqueeze(1), inverse)
        squares = own.square().sum(-1).unsqueeze(2) + other.square().sum(-1).unsqueeze(1)
        distance = torch.baddbmm(squares, own, other.mT, alpha=-2).transpose(0, 1)
        log_prob: Tensor = self.log_norms - 0.5 * distance
        return log_prob.masked_fill(self.log_weights == -math.inf, -math.inf)


def fit_shared_prior(
    codes: Tensor,
    values: Tensor,
    n_values: Tensor,
    components: int,
    *,
    nuisance: int = 0,
    scale: float = 1.0,
    floor: float = 1e-2,
    standardise: bool = False,
) -> SharedPrior:
    """The adaptive prior with one covariance for all components of a partition.

    It is the unbiased covariance of the labelled codes around the means of their components,
    shrunk as Ledoit & Wolf (2004) do. Where every component owns a single labelled sample nothing
    is known of it, and only the floor remains.

    Args:
        codes: `(labels, partitions, latent)` encoded labelled images.
        values: `(labels, coded)` their components; the first partitions are the coded ones.
        n_values: `(coded,)` number of components of each, every one of which occurs in `values`.
        components: The largest number of components, to which every mixture is padded.
        nuisance: Number of trailing partitions that keep N(0, I).
        scale: Factor on the covariances.
        floor: Added to the diagonal of the covariances.
        standardise: Rescale each mixture to zero mean and unit mean variance.
    """
    coded, latent = values.shape[1], codes.shape[-1]
    own = codes.detach()[:, :coded]
    if standardise:
        own = standardised(own)
    flat = values + components * torch.arange(coded, device=values.device)
    zero = torch.zeros(coded * components, latent, dtype=own.dtype, device=own.device)
    sums = zero.index_add(0, flat.flatten(), own.flatten(0, 1))
    counts = torch.bincount(flat.flatten(), minlength=coded * components).to(own.dtype)
    every_mean = sums / counts.clamp(min=1).unsqueeze(1)
    covariances = _pooled(own - every_mean[flat], n_values)
    eye = torch.eye(latent, dtype=own.dtype, device=own.device)
    covariances = (covariances * scale + floor * eye).unsqueeze(1)
    counts, means = counts.reshape(coded, components), every_mean.unflatten(0, (coded, components))
    log_weights = (counts / counts.sum(-1, keepdim=True)).log()
    if nuisance:
        rest = SharedPrior.standard(nuisance, latent, codes.device, components)
        log_weights = torch.cat([log_weights, rest.log_weights])
        means = torch.cat([means, rest.means])
        covariances = torch.cat([covariances, rest.covariances])
    return SharedPrior.build(log_weights, means, covariances)


def _pooled(residuals: Tensor, n_components: Tensor) -> Tensor:
    """Ledoit-Wolf covariance of residuals `(labels, coded, latent)`, `(coded, latent, latent)`."""
    n = len(residuals)
    empirical = torch.einsum("lki,lkj->kij", residuals, residuals) / n
    mean_variance = empirical.diagonal(dim1=-2, dim2=-1).mean(-1)
    eye = torch.eye(residuals.shape[-1], dtype=residuals.dtype, device=residuals.device)
    target = mean_variance[:, None, None] * eye
    distance = (empirical - target).square().sum((-2, -1))
    fourth = residuals.square().sum(-1).square().mean(0)
    noise = (fourth - empirical.square().sum((-2, -1))) / n
    shrinkage = (noise.clamp(min=0) / distance.clamp(min=1e-12)).clamp(max=1)[:, None, None]
    shrunk = (1 - shrinkage) * empirical + shrinkage * target
    # Every mean took one degree of freedom.
    free = (n - n_components).clamp(min=1).to(residuals.dtype)
    return shrunk * (n / free)[:, None, None]
