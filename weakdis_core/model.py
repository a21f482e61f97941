"""A trained model: reads factor values in images, and changes images."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from weakdis_core.checkpoint import read_checkpoint, saved_config
from weakdis_core.config.config import Config
from weakdis_core.config.settings import BY_FACTOR
from weakdis_core.data.picture_files import Images, Pictures, to_tensor
from weakdis_core.data.variants import variant_of
from weakdis_core.errors import UserError
from weakdis_core.models.networks import Networks
from weakdis_core.priors.prior import Prior, SharedPrior

Codes = NDArray[np.float32]
"""`(images, partitions, latent)`."""
Values = Mapping[str, int | str]
"""Factor values by the factor's name: the index of a value or its name."""

WARNING = (
    "this picture is unlike the training data, so what the model reads and draws may be wrong (its "
    "density under the priors is below that of 99% of validation images)"
)
"""Warning about a picture that `Model.is_unlike_training` finds."""

_CHUNK = 500


@dataclass(frozen=True, eq=False)
class Reading:
    """The values of one factor that a model reads in images.

    Attributes:
        values: Index of the most likely value of each image, `(images,)`.
        names: The names of these values.
        probabilities: Probability of every value, `(images, values)`.
    """

    values: NDArray[np.int64]
    names: tuple[str, ...]
    probabilities: NDArray[np.float32]


class Model:
    """A trained model with its prior.

    Every method accepts images as

    * one or several PIL images of any size and colours, which are converted;
    * an array or tensor of 64 x 64 pixels, `(n, channels, 64, 64)` or `(n, 64, 64, channels)`, for
      grey images also `(n, 64, 64)`, or one such image without `n`. Pixels are floats in [0, 1],
      uint8 in 0 to 255, or 0 and 1.

    Methods return images as float32 arrays `(n, channels, 64, 64)` in [0, 1], where n is 1 for one
    image. `weakdis_core.to_pil` converts them to PIL images. An argument that is not allowed raises
    a `UserError` that names what is.

    Example:
        >>> import weakdis_core
        >>> model = weakdis_core.load(checkpoint)
        >>> model.variant.relation_names
        ('change_shape', 'object_hue_up', 'object_hue_down')
        >>> changed = model.apply(images, "object_hue_up", times=2)
        >>> changed.shape
        (2, 3, 64, 64)
        >>> weakdis_core.to_pil(changed)[0].size
        (64, 64)

    Attributes:
        config: The settings of its training.
        variant: Its data set variant, with the names of factors, values and relations.
        networks: The autoencoder and the relational learner.
        prior: The adaptive priors.
        lowest_density: Log-density of codes that 99% of validation images exceed; None before the
            first evaluation.
    """

    def __init__(
        self,
        config: Config,
        networks: Networks,
        prior: Prior,
        lowest_density: float | None = None,
    ) -> None:
        self.config = config
        self.variant = variant_of(config.data)
        self.networks = networks
        self.prior = prior
        self.lowest_density = lowest_density
        networks.follow(prior)

    @property
    def reads_factors(self) -> bool:
        """Whether values have components: past its warmup, in a model with a code per factor."""
        fitted = bool(self.prior.log_weights[:, 1:].isfinite().any())
        return fitted and self.config.model.kind in BY_FACTOR

    def read(self, images: Pictures) -> dict[str, Reading]:
        """Read the value of each factor, by the factor's name.

        A probability is the posterior of the value's component, with equal weights of all values
        and at the temperature of the training's label loss (`loss.label_temperature`).

        Example:
            >>> reading = model.read(images)["shape"]
            >>> reading.probabilities.shape
            (2, 4)
            >>> len(reading.names)
            2
        """
        return self.read_codes(self.encode(images))

    def encode(self, images: Pictures) -> Codes:
        """Encode images as codes `(images, partitions, latent)`.

        The first partitions are the factors' of the variant, in its order; a monolithic model has
        one partition.
        """
        return self._in_chunks(
            lambda part: self.networks.autoencoder.encode(part).means,
            to_tensor(images, self.variant.channels, self.variant.size),
        )

    def decode(self, codes: Codes) -> Images:
        """Decode codes `(..., partitions, latent)` to images `(..., channels, 64, 64)`.

        Example:
            >>> model.decode(model.encode(images)).shape
            (2, 3, 64, 64)
        """
        model = self.networks.autoencoder
        array = np.asarray(codes, np.float32)
        n, latent = model.partitions, model.latent
        if array.shape[-2:] != (n, latent) or not array.size:
            raise UserError(f"codes: shape {array.shape} is not allowed: (..., {n}, {latent})")
        flat = torch.from_numpy(array.reshape(-1, n, latent))
        images = self._in_chunks(lambda part: model.decode(part).sigmoid(), flat)
        return images.reshape(*array.shape[:-2], *images.shape[1:])

    def apply(self, images: Pictures, relation: str, times: int = 1) -> Images:
        """Apply a relation several times to the codes of images, and decode the result."""
        return self.decode(self.change_codes(self.encode(images), None, relation, times))

    def set(self, images: Pictures, /, **values: int | str) -> Images:
        """Give factors a value, by its index or name: codes become its component's mean.

        Example:
            >>> model.set(images, object_hue=4, shape="cube").shape
            (2, 3, 64, 64)
        """
        return self.decode(self.change_codes(self.encode(images), values))

    def interpolate(self, images: Pictures, factor: str, steps: int = 9) -> Images:
        """Move one factor through all of its values in order, from the first to the last.

        The codes lie on straight lines between the means of neighbouring values' components. With
        as many steps as values, each step is a value. Values without a component are left out.

        Example:
            >>> model.interpolate(images, "object_hue", steps=9).shape
            (2, 9, 3, 64, 64)

        Returns:
            Images `(n, steps, channels, 64, 64)`.
        """
        index = self._partition(factor)
        if steps < 2:
            raise UserError(f"steps: {steps} is not allowed: at least 2")
        means = self.prior.means[index, : self.variant.n_values[index]][self._present(index)].cpu()
        place = torch.linspace(0, len(means) - 1, steps)
        low, high = place.floor().long(), place.ceil().long()
        path = torch.lerp(means[low], means[high], (place - low).unsqueeze(1))
        codes = np.repeat(self.encode(images)[:, None], steps, axis=1)
        codes[:, :, index] = path.numpy()
        return self.decode(codes)

    @torch.no_grad()
    def read_codes(self, codes: Codes) -> dict[str, Reading]:
        """Read the value of each factor in codes, as `read` does in images."""
        found = {}
        each = self.prior.log_posterior(self._tensor(codes), self.config.loss.label_temperature)
        for factor in self.variant.factors:
            place = self._partition(factor.name)
            probabilities = each[:, place, : factor.n_values].exp().cpu().numpy()
            values = probabilities.argmax(1)
            names = tuple(factor.value_names[value] for value in values)
            found[factor.name] = Reading(values, names, probabilities)
        return found

    @torch.no_grad()
    def is_unlike_training(self, codes: Codes) -> NDArray[np.bool_]:
        """Check whether the density of each code is below that of 99% of validation images.

        The density is the joint one of all factors under the priors. Before the first evaluation
        there is no threshold, and no image is unlike the data.
        """
        if self.lowest_density is None:
            return np.zeros(len(codes), np.bool_)
        coded = self.networks.autoencoder.partitions - self.config.model.nuisance_partitions
        density = self.prior.log_density(self._tensor(codes), coded)
        return np.asarray((density < self.lowest_density).cpu())

    @torch.no_grad()
    def change_codes(
        self,
        codes: Codes,
        values: Values | None = None,
        relation: str | None = None,
        times: int = 1,
    ) -> Codes:
        """Return codes with factor values set, and then a relation applied several times."""
        if times < 1:
            raise UserError(f"times: {times} is not allowed: at least 1")
        moved = self._tensor(codes).clone()
        for factor, value in (values or {}).items():
            place = self._partition(factor)
            component = self.variant.value(factor, value)
            if not self._present(place)[component]:
                name = self.variant.factors[place].value_names[component]
                raise UserError(f"{factor}: {name!r} is not allowed: the model saw no label of it")
            moved[:, place] = self.prior.means[place, component]
        if relation is not None:
            index = torch.full((len(moved),), self.variant.relation(relation), device=moved.device)
            for _ in range(times):
                moved = self.networks.relational(moved, index)
        changed: Codes = moved.cpu().numpy()
        return changed

    def _partition(self, factor: str) -> int:
        """Return the partition of a factor."""
        if not self.reads_factors:
            raise UserError(
                f"model: {self.config.model.kind}, without a component for each value; values are "
                "read and set by modular models that are past their warmup"
            )
        return self.variant.factor(factor)

    def _present(self, partition: int) -> Tensor:
        """Return which values of a factor have a component, `(values,)`."""
        return self.prior.log_weights[partition, : self.variant.n_values[partition]].isfinite()

    def _tensor(self, codes: Codes) -> Tensor:
        return torch.as_tensor(codes, device=self.prior.means.device)

    @torch.no_grad()
    def _in_chunks(
        self, network: Callable[[Tensor], Tensor], inputs: Tensor
    ) -> NDArray[np.float32]:
        parts = inputs.split(_CHUNK)
        return np.concatenate([network(self._tensor(part)).cpu().numpy() for part in parts])


def load(checkpoint: str | Path) -> Model:
    """Load the model of a checkpoint file onto the CPU.

    Raises:
        UserError: The file cannot be read.
    """
    path = Path(checkpoint)
    state = read_checkpoint(path)
    config = saved_config(state, path)
    networks = Networks(variant_of(config.data), config, torch.device("cpu"))
    networks.load_state_dict(state["networks"])
    prior = SharedPrior if config.loss.shared_covariance else Prior
    return Model(config, networks, prior(**state["prior"]), state["lowest_density"])
