"""What a model does to images: reconstructions, and images after relations."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from weakdis_core.checkpoint import read_checkpoint, saved_config
from weakdis_core.config import Config
from weakdis_core.data.variants import Variant, get_variant
from weakdis_core.errors import UserError
from weakdis_core.networks import Networks
from weakdis_core.trainer import Trainer

Images = NDArray[np.float32]

# Inches; a picture is drawn at two pixels for each of its own.
_DPI = 150
_PICTURE = 2 * 64 / _DPI
_GAP = 0.06
_HEADER = 0.62
_NARROWEST = 2.8
# Of the title, to an inch.
_LETTERS = 16


@dataclass(frozen=True)
class Manipulation:
    """Images before and after relations, each `(n, channels, 64, 64)` in [0, 1].

    Attributes:
        images: What went in.
        reconstructions: What comes back with the codes untouched.
        after: What comes back after each relation, by its name.
    """

    images: Images
    reconstructions: Images
    after: dict[str, Images]


def load_networks(path: Path, device: str = "cpu") -> tuple[Config, Networks]:
    """The settings and trained networks of a checkpoint.

    Raises:
        UserError: The file cannot be read.
    """
    state = read_checkpoint(path)
    config = saved_config(state, path)
    networks = Networks(get_variant(config.data.variant), config, torch.device(device))
    networks.load_state_dict(state["networks"])
    return config, networks


@torch.no_grad()
def manipulate(
    networks: Networks, variant: Variant, images: Tensor, relations: tuple[str, ...]
) -> Manipulation:
    """Apply relations to images.

    Args:
        networks: A trained model.
        variant: The data set variant it was trained on.
        images: `(n, channels, 64, 64)` in [0, 1].
        relations: Names of the relations.

    Raises:
        UserError: A relation is not one of the variant's.
    """
    model, learner = networks.autoencoder, networks.relational
    codes = model.encode(images).means
    after = {}
    for name in relations:
        index = torch.full((len(images),), variant.relation(name), device=images.device)
        after[name] = _drawn(model.decode(learner(codes, index)))
    return Manipulation(images.cpu().numpy(), _drawn(model.decode(codes)), after)


def write_grid(manipulation: Manipulation, title: str, path: Path) -> None:
    """Draw a row for each image: the image, its reconstruction, and it after each relation.

    Raises:
        UserError: The file cannot be written.
    """
    columns = {"image": manipulation.images, "reconstruction": manipulation.reconstructions}
    columns |= manipulation.after
    rows = len(manipulation.images)
    cell = _PICTURE + _GAP
    width, height = cell * len(columns) + _GAP, cell * rows + _HEADER
    figure = Figure(figsize=(max(width, _NARROWEST), height), dpi=_DPI)
    canvas = FigureCanvasAgg(figure)
    title = textwrap.fill(title, round(_LETTERS * figure.get_figwidth()))
    figure.text(
        _GAP / figure.get_figwidth(), 1 - 0.05 / height, title, ha="left", va="top", fontsize=8
    )
    for column, (name, images) in enumerate(columns.items()):
        left = _GAP + column * cell
        middle = (left + _PICTURE / 2) / figure.get_figwidth()
        label = textwrap.fill(name.replace("_", " "), 14)
        figure.text(middle, 1 - (_HEADER - 0.04) / height, label, ha="center", fontsize=7)
        for row, image in enumerate(images):
            bottom = height - _HEADER - (row + 1) * cell + _GAP
            box = (left / figure.get_figwidth(), bottom / height)
            axes = figure.add_axes((*box, _PICTURE / figure.get_figwidth(), _PICTURE / height))
            picture = image[0] if len(image) == 1 else image.transpose(1, 2, 0)
            axes.imshow(picture, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            axes.set_axis_off()
    try:
        canvas.print_png(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror or error})") from None


def write_manipulation_grid(trainer: Trainer, path: Path, images: int = 8) -> None:
    """Draw the first test images, their reconstructions, and them after every relation.

    Args:
        trainer: A trained model.
        path: The PNG to write.
        images: Number of rows.

    Raises:
        UserError: The file cannot be written.
    """
    index = trainer.images_of("test", images)
    result = manipulate(
        trainer.networks, trainer.variant, trainer.bank.batch(index), trainer.variant.relation_names
    )
    config = trainer.config
    title = f"{trainer.variant.name}, config {config.hash()}, seed {config.seed}: test images"
    write_grid(result, title, path)


def _drawn(logits: Tensor) -> Images:
    images: Images = logits.sigmoid().cpu().numpy()
    return images
