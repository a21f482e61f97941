"""Priors of the latent partitions: N(0, I) during warmup, one adaptive mixture per factor after it.

The formulas are written out because `torch.distributions.MultivariateNormal` solves a triangular
system for every density. With stored inverse factors, a density is one product.
"""

import math
from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor

from weakdis_core.seeding import noise_like


@dataclass(frozen=True)
class Prior:
    """A batch of Gaussian mixtures, one for each partition, padded to as many components.

    N(0, I) is a mixture of one component, so warmup, nuisance partitions and adaptive priors share
    all code.

    Attributes:
        log_weights: `(partitions, components)`, log pi_v; -inf for padding.
        means: `(partitions, components, latent)`.
        covariances: `(partitions, components, latent, latent)`.
        scales: Lower Cholesky factors of the covariances.
        inverse_scales: Their inverses.
        log_norms: `(partitions, components)`, log-density at the mean.
    """

    shared: ClassVar[bool] = False
    """Whether components share one covariance."""
    log_weights: Tensor
    means: Tensor
    covariances: Tensor
    scales: Tensor
    inverse_scales: Tensor
    log_norms: Tensor

    @classmethod
    def build(cls, log_weights: Tensor, means: Tensor, covariances: Tensor) -> Self:
        """Return a prior of these weights, means and positive definite covariances."""
        # `cholesky_ex` does not wait for the device; a failure shows as NaN in the losses.
        # `sample` gathers rows, which is 15 times slower from the column-major result.
        scales = torch.linalg.cholesky_ex(covariances).L.contiguous()
        eye = torch.eye(means.shape[-1], dtype=means.dtype, device=means.device)
        inverse = torch.linalg.solve_triangular(scales, eye.expand_as(scales), upper=False)
        log_det = scales.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        log_norms = -0.5 * means.shape[-1] * math.log(2 * math.pi) - log_det
        return cls(log_weights, means, covariances, scales, inverse, log_norms)

    @classmethod
    def standard(
        cls, partitions: int, latent: int, device: torch.device | str = "cpu", components: int = 1
    ) -> Self:
        """Return N(0, I) for every partition, padded to `components`."""
        log_weights = torch.full((partitions, components), -math.inf, device=device)
        log_weights[:, 0] = 0.0
        means = torch.zeros(partitions, components, latent, device=device)
        eye = torch.eye(latent, device=device)
        kept = 1 if cls.shared else components
        return cls.build(log_weights, means, eye.expand(partitions, kept, -1, -1).clone())

    def with_nuisance(self, partitions: int) -> Self:
        """Return this prior with `partitions` more of N(0, I) behind its own."""
        if not partitions:
            return self
        components, latent = self.means.shape[1:]
        rest = self.standard(partitions, latent, self.means.device, components)
        pairs = zip(vars(self).values(), vars(rest).values(), strict=True)
        return type(self)(*(torch.cat(pair) for pair in pairs))

    @property
    def partitions(self) -> int:
        """Number of latent partitions."""
        return self.means.shape[0]

    def pad(self, values: Tensor) -> Tensor:
        """Append component 0 of the nuisance partitions to components `(batch, coded)`."""
        return torch.nn.functional.pad(values, (0, self.partitions - values.shape[1]))

    def sample(self, components: Tensor, generator: torch.Generator) -> Tensor:
        """Draw a code `(batch, partitions, latent)` of each component `(batch, partitions)`."""
        partitions, padded = self.means.shape[:2]
        offset = padded * torch.arange(partitions, device=components.device)
        flat = (components + offset).flatten()
        # index_select is several times faster than indexing by two tensors.
        means = self.means.flatten(0, 1).index_select(0, flat)
        noise = noise_like(means, generator)
        shape = (len(components), partitions, -1)
        return means.reshape(shape) + self._scale_noise(noise, flat).reshape(shape)

    def _scale_noise(self, noise: Tensor, flat: Tensor) -> Tensor:
        """Scale standard noise `(n, latent)` to the covariances of components `flat` `(n,)`."""
        scales = self.scales.flatten(0, 1).index_select(0, flat)
        scaled: Tensor = torch.einsum("nij,nj->ni", scales, noise)
        return scaled

    def sample_components(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw components by the mixture weights, `(n, partitions)`."""
        weights = self.log_weights.exp()
        drawn: Tensor = torch.multinomial(weights, n, replacement=True, generator=generator).T
        return drawn

    def component_log_prob(self, codes: Tensor) -> Tensor:
        """Return the log-density of codes under every component.

        Args:
            codes: `(batch, partitions, latent)`.

        Returns:
            `(batch, partitions, components)`: log N(z_k; mu_kv, Sigma_kv), -inf for padding.
        """
        # L^-1 (z - mu) = L^-1 z - L^-1 mu: one batched product instead of one for each component.
        partitions, components, latent = self.means.shape
        rows = self.inverse_scales.reshape(partitions, components * latent, latent)
        whitened = torch.einsum("bpj,pcj->bpc", codes, rows)
        shift = torch.einsum("pvij,pvj->pvi", self.inverse_scales, self.means)
        whitened = whitened.unflatten(-1, (components, latent)) - shift
        log_prob: Tensor = self.log_norms - 0.5 * whitened.square().sum(-1)
        return log_prob.masked_fill(self.log_weights == -math.inf, -math.inf)

    def log_prob(self, codes: Tensor) -> Tensor:
        """Return the log-density of codes under the mixtures, `(batch, partitions)`."""
        return torch.logsumexp(self.component_log_prob(codes) + self.log_weights, dim=-1)

    def log_density(self, codes: Tensor, coded: int) -> Tensor:
        """Return the joint log-density `(batch,)` of the first `coded` partitions of codes."""
        return self.log_prob(codes)[:, :coded].sum(1)

    def log_posterior(self, codes: Tensor, temperature: float = 1.0) -> Tensor:
        """Return the log-probability of each component given the code, with equal weights.

        The mixture weights are frequencies in the labelled subset, not in all images.

        Args:
            codes: `(batch, partitions, latent)`.
            temperature: Divides the log-densities; values above 1 flatten the distribution.
        """
        return (self.component_log_prob(codes) / temperature).log_softmax(-1)

    def classify(self, codes: Tensor) -> Tensor:
        """Return the most likely component of each code, `(batch, partitions)`."""
        return self.component_log_prob(codes).argmax(-1)

    def kl(self, means: Tensor, log_variances: Tensor, components: Tensor | None = None) -> Tensor:
        """Return the KL divergence of diagonal Gaussian codes from the mixtures.

        Args:
            means: `(batch, partitions, latent)`.
            log_variances: Same shape.
            components: `(batch, partitions)` components that replace the mixtures, -1 where one is
                unknown. A mixture gives the variational bound -log sum_v pi_v exp(-KL_v) (Hershey &
                Olsen, 2007, with a single Gaussian on the left).

        Returns:
            `(batch, partitions)`, in nats.
        """
        precision_diagonal = self.inverse_scales.square().sum(-2)
        variances = log_variances.exp()
        spread = torch.einsum("bpj,pvj->bpv", variances, precision_diagonal)
        entropy = 0.5 * (log_variances + 1 + math.log(2 * math.pi)).sum(-1, keepdim=True)
        divergence = 0.5 * spread - self.component_log_prob(means) - entropy
        mixture = -torch.logsumexp(self.log_weights - divergence, dim=-1)
        if components is None:
            return mixture
        own = divergence.gather(-1, components.clamp(min=0).unsqueeze(-1)).squeeze(-1)
        return torch.where(components < 0, mixture, own)


@dataclass(frozen=True)
class SharedPrior(Prior):
    """A `Prior` whose components share one covariance and differ in their means.

    Covariances, scales and inverse scales are `(partitions, 1, latent, latent)`. On Shapes3D this
    keeps the components of a factor apart. The monolithic model, whose components own ten labelled
    images or fewer, needs it. As in linear discriminant analysis, a log-density is a distance to a
    mean in whitened coordinates, and those of all components are one matrix product.
    """

    shared: ClassVar[bool] = True

    def _scale_noise(self, noise: Tensor, flat: Tensor) -> Tensor:
        """Scale standard noise; rows of `flat` run through the partitions in order."""
        noise = noise.unflatten(0, (-1, self.partitions))
        scaled: Tensor = torch.einsum("pij,bpj->bpi", self.scales[:, 0], noise)
        return scaled.flatten(0, 1)

    def component_log_prob(self, codes: Tensor) -> Tensor:
        """Return what `Prior.component_log_prob` returns, with one product for all components."""
        inverse = self.inverse_scales[:, 0]
        # Centre on the components: squares of large coordinates would lose digits.
        middle = (self.log_weights.exp().unsqueeze(-1) * self.means).sum(1)
        own = torch.einsum("bpj,pij->pbi", codes - middle, inverse)
        other = torch.einsum("pvj,pij->pvi", self.means - middle.unsqueeze(1), inverse)
        squares = own.square().sum(-1).unsqueeze(2) + other.square().sum(-1).unsqueeze(1)
        distance = torch.baddbmm(squares, own, other.mT, alpha=-2).transpose(0, 1)
        log_prob: Tensor = self.log_norms - 0.5 * distance
        return log_prob.masked_fill(self.log_weights == -math.inf, -math.inf)
