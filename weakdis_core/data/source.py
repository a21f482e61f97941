"""What a preparation will hold and where, known before anything is drawn or read."""

import functools
import hashlib
import json
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from weakdis_core.config.settings import DataSettings
from weakdis_core.data import arrays, dsprites, official, shapes3d
from weakdis_core.data.factors import IndexArray
from weakdis_core.data.variants import Variant, get_variant
from weakdis_core.errors import UserError
from weakdis_core.seeding import numpy_generator

_log = logging.getLogger(__name__)

FORMAT = 1
"""Version of the files of a prepared variant."""

FAMILIES: dict[str, ModuleType] = {"dsprites": dsprites, "shapes3d": shapes3d}
"""Module of each family: `render` draws its pictures, `LAYOUT` is that of its official files."""

RENDERERS: dict[str, str] = {"dsprites": "aef3c4092d90b496", "shapes3d": "7d385ad532bf7b22"}
"""Version of each family's renderer. Change it when the renderer draws other pixels (tests compare
them): images prepared by another version are not used again."""

IMAGE_SIZE = 64
"""Height and width of an image."""

PreparedSource = Literal["official", "rendered"]


@dataclass(frozen=True)
class Plan:
    """What a preparation will hold and where, known without making it."""

    variant: Variant
    source: PreparedSource
    official_file: Path | None
    n_images: int
    data_seed: int
    digest: str

    @property
    def path(self) -> Path:
        """The folder of the prepared variant."""
        return official.cache_root() / "prepared" / f"{self.variant.name}-{self.digest}"

    @property
    def n_bytes(self) -> int:
        """Size of the images on disk."""
        return self.n_images * self.variant.channels * IMAGE_SIZE**2

    def indices(self) -> IndexArray:
        """Grid indices of the images drawn by the data seed, in grid order."""
        every = self.variant.indices()
        if self.n_images == len(every):
            return every
        generator = numpy_generator(self.data_seed, "images")
        return every[np.sort(generator.choice(len(every), self.n_images, replace=False))]

    def images_at(
        self, indices: IndexArray, advance: Callable[[int], None] | None = None
    ) -> NDArray[np.uint8]:
        """Images `(n, channels, 64, 64)`, not scaled, by grid indices `(n, axes)`: drawn or read.

        `advance` is called with the number of images made since the last call.

        Raises:
            UserError: The official file cannot be read.
        """
        family = FAMILIES[self.variant.family]
        if self.official_file is not None:
            return arrays.read(self.official_file, family.LAYOUT, indices, advance)
        images: NDArray[np.uint8] = family.render(indices, advance)
        return images


@functools.cache
def _warn_rendered(family: str, folder: str) -> None:
    _log.warning("%s holds no official file of %s: its images are rendered", folder, family)


def plan(settings: DataSettings, data_dir: Path | None = None) -> Plan:
    """Resolve variant, source and cache folder of `settings`.

    Raises:
        UserError: Official images are asked for and their file is nowhere.
    """
    variant = get_variant(settings.variant)
    file = None if settings.source == "rendered" else official.find(variant.family, data_dir)
    if file is None and settings.source == "official":
        places = [data_dir, os.environ.get("WEAKDIS_DATA"), official.cache_root() / "official"]
        looked = ", ".join(str(place) for place in places if place)
        raise UserError(
            f"data.source: no official file of {variant.family} in {looked}; get it with "
            f"`python -m weakdis_core data download --family {variant.family}`, "
            "or use our own rendering with source rendered"
        )
    named = data_dir or os.environ.get("WEAKDIS_DATA")
    if file is None and settings.source == "auto" and named:
        _warn_rendered(variant.family, str(named))
    source: PreparedSource = "rendered" if file is None else "official"
    available = variant.n_images
    n_images = min(settings.max_images, available)
    shaped_by = {
        "format": FORMAT,
        "variant": [variant.name, variant.channels, repr(variant.grid)],
        "factors": repr(variant.factors),
        "nuisance": repr(variant.nuisance),
        "n_images": n_images,
        # All images are the same images whatever the seed.
        "data_seed": settings.data_seed if n_images < available else None,
        "source": source,
        "pixels": RENDERERS[variant.family],
    }
    if file is not None:
        # The family's official files hold the same images, whichever is found.
        shaped_by["pixels"] = [each.digest for each in official.declared(variant.family)]
    digest = hashlib.sha256(json.dumps(shaped_by, sort_keys=True).encode()).hexdigest()[:16]
    return Plan(variant, source, file, n_images, settings.data_seed, digest)
