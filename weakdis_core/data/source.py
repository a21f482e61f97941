"""The images of a variant on the grid of a family: rendered, or read from an official file."""

import functools
import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from weakdis_core.config.settings import DataSettings
from weakdis_core.data import arrays, official
from weakdis_core.data.own import plan_own
from weakdis_core.data.plan import FORMAT, Plan, PreparedSource, draw_images
from weakdis_core.data.renderers import dsprites, shapes3d
from weakdis_core.data.variant import IndexArray
from weakdis_core.data.variants import get_variant
from weakdis_core.errors import UserError

_log = logging.getLogger(__name__)

FAMILIES: dict[str, ModuleType] = {"dsprites": dsprites, "shapes3d": shapes3d}
"""Module of each family, with `render` and the `LAYOUT` of the official files."""

RENDERERS: dict[str, str] = {"dsprites": "aef3c4092d90b496", "shapes3d": "7d385ad532bf7b22"}
"""Version of each renderer. Change it when the renderer draws other pixels (tests compare them), so
that older prepared images are not used again."""


@dataclass(frozen=True)
class GridPlan(Plan):
    """The plan of a variant on the grid of a family, rendered or read from an official file.

    Attributes:
        official_file: The official file; None where images are rendered.
    """

    official_file: Path | None

    def check(self) -> None:
        """Check the hash of the official file."""
        if self.official_file is not None:
            official.verify(self.official_file)

    def indices(self) -> IndexArray:
        """Draw images by the data seed; return their grid indices in grid order."""
        return draw_images(self.variant.indices(), self.n_images, self.data_seed)

    def images_at(
        self, indices: IndexArray, advance: Callable[[int], None] | None = None
    ) -> NDArray[np.uint8]:
        """Render images, or read them from the official file."""
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
    if settings.description is not None:
        return plan_own(settings, settings.description)
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
    return GridPlan(variant, source, n_images, settings.data_seed, digest, file)
