"""The source of a variant's images, and the plan for preparing them."""

import functools
import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from weakdis_core.config.settings import DataSettings
from weakdis_core.data import arrays, dsprites, official, shapes3d
from weakdis_core.data.variants import IndexArray, Variant, get_variant
from weakdis_core.errors import UserError
from weakdis_core.seeding import numpy_generator

_log = logging.getLogger(__name__)

FORMAT = 1
"""Version of the file format of a prepared variant."""

FAMILIES: dict[str, ModuleType] = {"dsprites": dsprites, "shapes3d": shapes3d}
"""Module of each family, with `render` and the `LAYOUT` of the official files."""

RENDERERS: dict[str, str] = {"dsprites": "aef3c4092d90b496", "shapes3d": "7d385ad532bf7b22"}
"""Version of each renderer. Change it when the renderer draws other pixels (tests compare them), so
that older prepared images are not used again."""

IMAGE_SIZE = 64
"""Height and width of an image in pixels."""

PreparedSource = Literal["official", "rendered"]


@dataclass(frozen=True)
class Plan:
    """The content and place of a prepared variant, known before it is prepared."""

    variant: Variant
    source: PreparedSource
    official_file: Path | None
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
        return self.n_images * self.variant.channels * IMAGE_SIZE**2

    def indices(self) -> IndexArray:
        """Draw images by the data seed; return their grid indices in grid order."""
        every = self.variant.indices()
        if self.n_images == len(every):
            return every
        generator = numpy_generator(self.data_seed, "images")
        return every[np.sort(generator.choice(len(every), self.n_images, replace=False))]

    def images_at(
        self, indices: IndexArray, advance: Callable[[int], None] | None = None
    ) -> NDArray[np.uint8]:
        """Render or read unscaled images `(n, channels, 64, 64)` by grid indices `(n, axes)`.

        `advance` receives the number of newly finished images.

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
    """Resolve the source of the images and their folder in the cache.

    Raises:
        UserError: The settings require official images, but their file is missing.
    """
    variant = get_variant(settings.variant)
    file = None if settings.source == "rendered" else official.find(variant.family, data_dir)
    if file is None and settings.source == "official":
        searched = ", ".join(map(str, official.search_folders(data_dir).values()))
        raise UserError(
            f"data.source: no official file of {variant.family} in {searched}; get it with "
            f"`python -m weakdis_core data download --family {variant.family}`, "
            "or use our own rendering with source rendered"
        )
    if file is None and settings.source == "auto":
        first, *others = official.search_folders(data_dir).values()
        if others:
            _warn_rendered(variant.family, str(first))
    source: PreparedSource = "rendered" if file is None else "official"
    available = variant.n_images
    n_images = min(settings.max_images, available)
    shaped_by = {
        "format": FORMAT,
        "variant": [variant.name, variant.channels, repr(variant.grid)],
        "factors": repr(variant.factors),
        "nuisance": repr(variant.nuisance),
        "n_images": n_images,
        # Without a draw the seed has no effect.
        "data_seed": settings.data_seed if n_images < available else None,
        "source": source,
        "pixels": RENDERERS[variant.family],
    }
    if file is not None:
        # All official files of a family have the same images.
        shaped_by["pixels"] = [each.digest for each in official.files_of(variant.family)]
    digest = hashlib.sha256(json.dumps(shaped_by, sort_keys=True).encode()).hexdigest()[:16]
    return Plan(variant, source, file, n_images, settings.data_seed, digest)
