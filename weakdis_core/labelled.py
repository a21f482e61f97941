"""Codes of the labelled subset as last seen, and the adaptive priors that follow them."""

from __future__ import annotations

import torch
from torch import Tensor

from weakdis_core.coding import Coding
from weakdis_core.config import Config
from weakdis_core.fitting import fit_prior, require_every_value
from weakdis_core.priors import Prior
from weakdis_core.shared_prior import SharedPrior, fit_shared_prior


class LabelledCodes:
    """A memory of the labelled subset's codes: to encode all of it for every fit would cost a step.

    Args:
        values: `(labels, factors)` factor values of the labelled images.
        coding: What the components stand for.
        config: How priors are fitted.
        partitions: Partitions of a code, nuisance among them.

    Attributes:
        components: `(labels, coded)` components of the labelled images.
        codes: `(labels, partitions, latent)`, zero until they are first encoded.

    Raises:
        UserError: Some component has no labelled image.
    """

    def __init__(self, values: Tensor, coding: Coding, config: Config, partitions: int) -> None:
        self.config = config
        self.components = coding.components(values)
        require_every_value(self.components, coding.n_components)
        self.n_components = torch.tensor(coding.n_components, device=values.device)
        self.largest = max(coding.n_components)
        latent = config.model.latent_size
        self.codes = torch.zeros(len(values), partitions, latent, device=values.device)

    @property
    def prior_kind(self) -> type[Prior]:
        """Whether components have a covariance each or share one."""
        return SharedPrior if self.config.loss.shared_covariance else Prior

    def standard(self) -> Prior:
        """N(0, I) for every partition: the prior of the warmup."""
        partitions, latent = self.codes.shape[1:]
        return self.prior_kind.standard(partitions, latent, self.codes.device, self.largest)

    def fitted(self) -> Prior:
        """The adaptive priors of the codes as they are."""
        loss = self.config.loss
        fit = fit_shared_prior if loss.shared_covariance else fit_prior
        return fit(
            self.codes,
            self.components,
            self.n_components,
            self.largest,
            nuisance=self.config.model.nuisance_partitions,
            scale=loss.covariance_scale,
            floor=loss.covariance_floor,
            standardise=loss.standardise_prior,
        )
