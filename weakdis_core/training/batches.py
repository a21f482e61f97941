"""Batches of training images: unlabelled ones, then labelled ones, transformed as asked."""

from collections.abc import Collection
from dataclasses import dataclass

import torch
from torch import Tensor

from weakdis_core.config.config import Config
from weakdis_core.config.description import Transformation
from weakdis_core.data.bank import ImageBank
from weakdis_core.data.transformations import transform


@dataclass(frozen=True, eq=False)
class Batch:
    """Images of one step: unlabelled ones first, then labelled ones.

    Attributes:
        images: `(unlabelled + labelled, channels, 64, 64)` in [0, 1].
        values: `(labelled, coded)` components of the labelled images.
        index: `(unlabelled + labelled,)` rows of the images in the image bank.
        rows: `(labelled,)` positions of the labelled images in the labelled subset.
        clean: The unlabelled images as they are, not transformed.
    """

    images: Tensor
    values: Tensor
    index: Tensor
    rows: Tensor
    clean: Tensor


@dataclass(frozen=True, eq=False)
class BatchSource:
    """Draws the images of a step, with replacement.

    Attributes:
        config: Sizes of a batch, and what is transformed.
        bank: The images.
        transformations: Changes of an image that keep every label.
        train: `(images,)` rows of the train images.
        labelled: `(labels,)` rows of the labelled subset.
        components: `(labels, coded)` components of the labelled images.
        generators: Sources of randomness: `images`, `labels`, `transformations`.
    """

    config: Config
    bank: ImageBank
    transformations: Collection[Transformation]
    train: Tensor
    labelled: Tensor
    components: Tensor
    generators: dict[str, torch.Generator]

    def draw(self, transformed: bool) -> Batch:
        """Draw a batch, `transformed` if the settings ask for it too."""
        training = self.config.training
        unlabelled = self._draw("images", len(self.train), training.batch_size)
        rows = self._draw("labels", len(self.labelled), training.labelled_batch_size)
        index = torch.cat([self.train[unlabelled], self.labelled[rows]])
        images = self.bank.batch(index)
        clean = images[: training.batch_size]
        if transformed and training.transform:
            source = self.generators["transformations"]
            images = transform(images, self.transformations, source)
        return Batch(images, self.components[rows], index, rows, clean)

    def _draw(self, generator: str, n: int, size: int) -> Tensor:
        source = self.generators[generator]
        return torch.randint(n, (size,), generator=source, device=self.train.device)
