"""The plan of a prepared variant: its content and place, known before it is prepared."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from weakdis_core.data import official
from weakdis_core.data.variant import IndexArray, Variant
from weakdis_core.seeding import numpy_generator

FORMAT = 1
"""Version of the file format of a prepared variant."""

PreparedSource = Literal["official", "rendered", "own"]


@dataclass(frozen=True)
class Plan(ABC):
    """The content and place of a prepared variant.

    Attributes:
        variant: The variant.
        source: Source of the images.
        n_images: Number of images.
        data_seed: Seed of the draw of images.
        digest: Hash of everything that the images depend on.
    """

    variant: Variant
    source: PreparedSource
    n_images: int
    data_seed: int
    digest: str

    @property
    def path(self) -> Path:
        """Folder of the prepared variant."""
        return official.cache_root() / "prepared" / f"{self.variant.name}-{self.digest}"

    @property
    def n_bytes(self) -> int:
        """Size of the images in bytes."""
        return self.n_images * self.variant.channels * self.variant.size**2

    @abstractmethod
    def check(self) -> None:
        """Check that the source is still the planned one.

        Raises:
            UserError: It is damaged, or has changed.
        """

    @abstractmethod
    def indices(self) -> IndexArray:
        """Draw images by the data seed; return their indices `(images, axes)`, in order.

        Raises:
            UserError: The labels cannot be read.
        """

    @abstractmethod
    def images_at(
        self, indices: IndexArray, advance: Callable[[int], None] | None = None
    ) -> NDArray[np.uint8]:
        """Render or read unscaled images `(n, channels, size, size)` by indices `(n, axes)`.

        `advance` receives the number of newly finished images.

        Raises:
            UserError: A file cannot be read.
        """

    def tables(self, indices: IndexArray) -> dict[str, IndexArray]:
        """Return further columns to store, by name: `groups` and `given_split` of own pictures."""
        return {}


def draw_images(every: IndexArray, n: int, data_seed: int) -> IndexArray:
    """Draw `n` of the rows of `every` by the data seed, in order; all of them draw nothing."""
    if n == len(every):
        return every
    generator = numpy_generator(data_seed, "images")
    return every[np.sort(generator.choice(len(every), n, replace=False))]
