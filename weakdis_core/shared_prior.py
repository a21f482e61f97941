"""Mixtures whose components share one covariance: told apart by their means alone.

On Shapes3D that keeps the components of a factor from lying on one another. For the monolithic
model it is what thousands of components can afford: one for each combination owns ten labelled
images or a single one, in forty dimensions, and a covariance of its own would be all shrinkage.
With one for all (as in linear discriminant analysis), a log-density is a distance to a mean in
whitened coordinates, and those of a batch under 12,000 components are one matrix product.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from weakdis_core.fitting import ledoit_wolf, standardised
from weakdis_core.priors import Prior


@dataclass(frozen=True)
class SharedPrior(Prior):
    """A `Prior` with `(partitions, 1, latent, latent)` covariances, scales and inverse scales."""

    @staticmethod
    def _covariances_kept(components: int) -> int:
        """One, however many components there are."""
        return 1

    def _scaled(self, noise: Tensor, flat: Tensor) -> Tensor:
        """Standard noise with the covariance of its partition; components come in their order."""
        noise = noise.unflatten(0, (-1, self.partitions))
        scaled: Tensor = torch.einsum("pij,bpj->bpi", self.scales[:, 0], noise)
        return scaled.flatten(0, 1)

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
    return SharedPrior.build(log_weights, means, covariances).with_nuisance(nuisance)


def _pooled(residuals: Tensor, n_components: Tensor) -> Tensor:
    """Ledoit-Wolf covariance of residuals `(labels, coded, latent)`, `(coded, latent, latent)`."""
    n = len(residuals)
    empirical = torch.einsum("lki,lkj->kij", residuals, residuals) / n
    fourth = residuals.square().sum(-1).square().mean(0)
    shrunk = ledoit_wolf(empirical, fourth, n)
    # Every mean took one degree of freedom.
    free = (n - n_components).clamp(min=1).to(residuals.dtype)
    return shrunk * (n / free)[:, None, None]
