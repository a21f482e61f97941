"""Adaptive priors, fitted to the codes of the labelled subset.

Covariances are shrunk (Ledoit & Wolf, 2004), so that few labels never make them singular.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from weakdis_core.config.config import Config
from weakdis_core.config.settings import LossSettings
from weakdis_core.priors.coding import Coding
from weakdis_core.priors.prior import Prior, SharedPrior
from weakdis_core.priors.smoothing import roughness, smooth


class LabelledCodes:
    """The latest code of each labelled image, so that a fit need not encode all of them.

    Args:
        values: `(labels, factors)` factor values of the labelled images, -1 where unknown.
        coding: Maps factor values to components.
        config: The settings of the fit.
        partitions: Number of partitions of a code, nuisance partitions included.

    Attributes:
        components: `(labels, coded)` components of the labelled images, -1 where unknown.
        codes: `(labels, partitions, latent)`; zero until the images are first encoded.
    """

    def __init__(self, values: Tensor, coding: Coding, config: Config, partitions: int) -> None:
        self.loss = config.loss
        self.components = coding.components(values)
        self.n_components = torch.tensor(coding.n_components, device=values.device)
        self.largest = max(coding.n_components)
        self._penalty: Tensor | None = None
        if config.loss.ordered_means:
            penalty = roughness(coding.kinds, coding.n_components).to(values.device)
            self._penalty = config.loss.ordered_means * penalty
        known = self.components >= 0
        self._known = None if known.all() else [rows.nonzero()[:, 0] for rows in known.T]
        latent = config.model.latent_size
        self.codes = torch.zeros(len(values), partitions, latent, device=values.device)

    def standard(self) -> Prior:
        """Return the prior of the warmup, N(0, I) for every partition."""
        kind = SharedPrior if self.loss.shared_covariance else Prior
        partitions, latent = self.codes.shape[1:]
        return kind.standard(partitions, latent, self.codes.device, self.largest)

    def fit(self) -> Prior:
        """Fit the adaptive priors to the present codes."""
        return fit_prior(
            self.codes,
            self.components,
            self.n_components,
            self.largest,
            self.loss,
            self._known,
            self._penalty,
        )


def fit_prior(
    codes: Tensor,
    values: Tensor,
    n_values: Tensor,
    components: int,
    loss: LossSettings,
    known: Sequence[Tensor] | None = None,
    penalty: Tensor | None = None,
) -> Prior:
    """Fit a mixture to each coded partition; nuisance partitions keep N(0, I).

    A component without a labelled code has no weight, so no code is read as it, unless its mean
    follows from those of its neighbours.

    Args:
        codes: `(labels, partitions, latent)` codes of the labelled images.
        values: `(labels, coded)` their components; the coded partitions come first.
        n_values: `(coded,)` number of components of each.
        components: The largest number of components, to which every mixture is padded.
        loss: Scale, floor and sharing of covariances, and whether codes are first standardised.
        known: Rows of each partition whose component is known; None if all are.
        penalty: Penalty of means that are not smooth, `(coded, components, components)`; None for
            the means of the labelled codes.
    """
    coded, latent = values.shape[1], codes.shape[-1]
    own = codes.detach()[:, :coded]
    if known is None:
        counts, means, covariances = _fit_components(own, values, components, loss, penalty)
    else:
        every = [slice(k, k + 1) for k in range(coded)]
        each = [
            _fit_components(
                own[rows, k],
                values[rows, k],
                components,
                loss,
                None if penalty is None else penalty[k],
            )
            for k, rows in zip(every, known, strict=True)
        ]
        counts, means, covariances = (torch.cat(parts) for parts in zip(*each, strict=True))
    eye = torch.eye(latent, dtype=own.dtype, device=own.device)
    exists = torch.arange(components, device=own.device) < n_values.unsqueeze(-1)
    exists = exists[:, : covariances.shape[1], None, None]
    covariances = covariances * loss.covariance_scale + loss.covariance_floor * eye
    covariances = torch.where(exists, covariances, eye)
    log_weights = (counts / counts.sum(-1, keepdim=True)).log()
    kind = SharedPrior if loss.shared_covariance else Prior
    return kind.build(log_weights, means, covariances).with_nuisance(codes.shape[1] - coded)


def ledoit_wolf(empirical: Tensor, fourth: Tensor, n: Tensor | int) -> Tensor:
    """Shrink covariances towards a multiple of the identity (Ledoit & Wolf, 2004).

    Args:
        empirical: `(..., latent, latent)` mean outer products of residuals.
        fourth: `(...)` mean fourth power of the residuals' lengths.
        n: Number of residuals, `(...)` or a scalar.
    """
    mean_variance = empirical.diagonal(dim1=-2, dim2=-1).mean(-1)
    eye = torch.eye(empirical.shape[-1], dtype=empirical.dtype, device=empirical.device)
    target = mean_variance[..., None, None] * eye
    distance = (empirical - target).square().sum((-2, -1))
    noise = (fourth - empirical.square().sum((-2, -1))) / n
    shrinkage = (noise.clamp(min=0) / distance.clamp(min=1e-12)).clamp(max=1)[..., None, None]
    return (1 - shrinkage) * empirical + shrinkage * target


def _fit_components(
    codes: Tensor, values: Tensor, components: int, loss: LossSettings, penalty: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Return counts, means and covariances of the components of each partition."""
    if loss.standardise_prior:
        codes = _standardise(codes)
    fit = _fit_shared_covariance if loss.shared_covariance else _fit_own_covariances
    counts, means, covariances = fit(codes, values, components, penalty)
    if penalty is not None:
        # A value that only its neighbours place weighs as much as one with one label.
        placed = penalty.diagonal(dim1=-2, dim2=-1) > 0
        counts = torch.where(placed, counts.clamp(min=1), counts)
    return counts, means, covariances


def _standardise(codes: Tensor) -> Tensor:
    """Scale codes to zero mean and unit mean variance in each partition."""
    centred = codes - codes.mean(0)
    return centred / centred.square().mean((0, 2), keepdim=True).sqrt().clamp(min=1e-6)


def _fit_own_covariances(
    codes: Tensor, values: Tensor, components: int, penalty: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Return each component's count, mean and covariance.

    A component with one or two samples gets the pooled covariance of its partition: one sample has
    no variance, and two are too few to choose the shrinkage.
    """
    component = torch.arange(components, device=codes.device)
    member = (values.unsqueeze(-1) == component).to(codes.dtype)
    counts = member.sum(0)
    n = counts.clamp(min=1)
    means = torch.einsum("lkv,lkd->kvd", member, codes) / n.unsqueeze(-1)
    if penalty is not None:
        means, _ = smooth(counts, means, penalty)
    residuals = codes - torch.einsum("lkv,kvd->lkd", member, means)
    empirical = torch.einsum("lkv,lki,lkj->kvij", member, residuals, residuals) / n[..., None, None]
    pooled = torch.einsum("lki,lkj->kij", residuals, residuals) / len(residuals)
    fourth = torch.einsum("lkv,lk->kv", member, residuals.square().sum(-1).square()) / n
    shrunk = ledoit_wolf(empirical, fourth, n)
    return counts, means, torch.where((counts > 2)[..., None, None], shrunk, pooled.unsqueeze(1))


def _fit_shared_covariance(
    codes: Tensor, values: Tensor, components: int, penalty: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Return each component's count and mean, and one unbiased covariance around the means.

    The covariance is 0 if every component has one sample.
    """
    n, coded, latent = codes.shape
    flat = values + components * torch.arange(coded, device=values.device)
    zero = torch.zeros(coded * components, latent, dtype=codes.dtype, device=codes.device)
    sums = zero.index_add(0, flat.flatten(), codes.flatten(0, 1))
    counts = torch.bincount(flat.flatten(), minlength=coded * components).to(codes.dtype)
    means = sums / counts.clamp(min=1).unsqueeze(1)
    # Every mean takes one degree of freedom.
    parameters = (counts.reshape(coded, -1) > 0).sum(1)
    if penalty is not None:
        shape = (coded, components)
        smoothed, parameters = smooth(counts.reshape(shape), means.unflatten(0, shape), penalty)
        means = smoothed.flatten(0, 1)
    residuals = codes - means[flat]
    empirical = torch.einsum("lki,lkj->kij", residuals, residuals) / n
    shrunk = ledoit_wolf(empirical, residuals.square().sum(-1).square().mean(0), n)
    free = (n - parameters).clamp(min=1).to(codes.dtype)
    covariances = (shrunk * (n / free)[:, None, None]).unsqueeze(1)
    return counts.reshape(coded, -1), means.unflatten(0, (coded, -1)), covariances
