"""A map of each latent partition: codes of test images and the components of the prior."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.patheffects as effects
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.patches import Ellipse
from numpy.typing import NDArray
from sklearn.decomposition import PCA

from weakdis_core.data.variant import UNKNOWN
from weakdis_core.pictures.canvas import COLOURS, MARKERS, Head, draw_panels, save
from weakdis_core.pictures.changes import partition_names
from weakdis_core.training.trainer import Trainer

FloatArray = NDArray[np.floating[Any]]

# Test images on the map, at most.
_IMAGES = 1000
_PANEL = 2.35
_COLUMNS = 3
_FONT = 6.5
_SIGMAS = 2
# Smallest distance in inches between two numbers.
_ROOM = 0.12


@dataclass(frozen=True)
class Map:
    """A partition on the plane in which the codes of images vary most.

    Attributes:
        codes: `(images, 2)`.
        means: Means of the prior's components, `(components, 2)`.
        covariances: Their covariances, `(components, 2, 2)`.
        explained: Share of the codes' variance along each axis; NaN where codes do not vary.
    """

    codes: FloatArray
    means: FloatArray
    covariances: FloatArray
    explained: tuple[float, ...]


def map_partition(codes: FloatArray, means: FloatArray, covariances: FloatArray) -> Map:
    """Project codes and components onto the first two principal components of the codes.

    Args:
        codes: `(images, latent)`.
        means: `(components, latent)`.
        covariances: `(components, latent, latent)`.
    """
    # Codes may have one dimension, but a plane has two.
    missing = max(0, 2 - codes.shape[1])
    wide = np.pad(codes.astype(np.float64), ((0, 0), (0, missing)))
    # Constant codes have NaN shares of variance.
    with np.errstate(invalid="ignore"):
        pca = PCA(2, svd_solver="full").fit(wide)
    axes = pca.components_[:, : codes.shape[1]]
    centre = pca.mean_[: codes.shape[1]]
    placed, spread = (means - centre) @ axes.T, axes @ covariances @ axes.T
    explained = tuple(pca.explained_variance_ratio_.tolist())
    return Map((codes - centre) @ axes.T, placed, spread, explained)


def ellipse_of(covariance: FloatArray, sigmas: float) -> tuple[float, float, float]:
    """Return width, height and angle in degrees of the ellipse of a covariance `(2, 2)`.

    Its half axes are `sigmas` standard deviations.
    """
    variances, directions = np.linalg.eigh(covariance)
    width, height = 2 * sigmas * np.sqrt(variances.clip(min=0))
    return float(width), float(height), math.degrees(math.atan2(*directions[::-1, 0]))


def write_partitions(trainer: Trainer, head: Head, path: Path) -> None:
    """Write a PNG with a map of every partition of a modular model."""
    names = partition_names(trainer)
    index = trainer.images_of("test", _IMAGES)
    values = trainer.bank.values[index].cpu().numpy()
    codes: FloatArray = trainer.codes_of(index).cpu().numpy()
    sizes = [*trainer.variant.n_values, *[1] * trainer.config.model.nuisance_partitions]
    columns = min(_COLUMNS, len(names))
    lines = math.ceil(len(names) / columns)
    figure, panels = draw_panels(head, lines, columns, (_PANEL, _PANEL), right=0.1)
    for k, (name, panel) in enumerate(zip(names, panels.flat, strict=False)):
        means, covariances = _components(trainer, k, sizes[k])
        found = map_partition(codes[:, k], means, covariances)
        own = values[:, k] if k < values.shape[1] else np.zeros(len(values), dtype=np.int64)
        factors = trainer.variant.factors
        labels = factors[k].value_names if k < len(factors) else ("0",)
        _draw(panel, found, own, name.replace("_", " "), labels)
    save(figure, path, few_colours=True)


def _components(trainer: Trainer, partition: int, n: int) -> tuple[FloatArray, FloatArray]:
    """Return means and covariances of a partition's components, without padding."""
    prior = trainer.prior
    real = (prior.log_weights[partition, :n] > -torch.inf).cpu()
    means = prior.means[partition, :n].cpu()
    # A shared covariance is stored once.
    covariances = prior.covariances[partition].cpu().expand(prior.means.shape[1], -1, -1)[:n]
    return means[real].numpy(), covariances[real].numpy()


def _draw(
    panel: Axes, found: Map, values: NDArray[np.int64], name: str, labels: Sequence[str]
) -> None:
    panel.set_axis_on()
    for value in np.unique(values[values != UNKNOWN]):
        own = found.codes[values == value]
        panel.scatter(
            own[:, 0], own[:, 1], s=6, marker=MARKERS[value % len(MARKERS)],
            color=COLOURS[value % len(COLOURS)], alpha=0.7, linewidths=0, label=labels[value],
        )  # fmt: skip
    for mean, covariance in zip(found.means, found.covariances, strict=True):
        width, height, angle = ellipse_of(covariance, _SIGMAS)
        for edge, thickness in (("white", 2.2), ("black", 0.9)):
            panel.add_patch(
                Ellipse(tuple(mean), width, height, angle=angle, fill=False, lw=thickness, ec=edge)
            )
    panel.margins(0.08)
    panel.autoscale_view()
    panel.set_title(name, fontsize=_FONT + 1)
    for axis, share, n in zip((panel.xaxis, panel.yaxis), found.explained, (1, 2), strict=True):
        part = "no variance" if math.isnan(share) else f"{100 * share:.0f}% of variance"
        axis.set_label_text(f"principal component {n} ({part})", fontsize=_FONT)
    panel.tick_params(labelsize=_FONT - 1, length=2)
    if len(found.means) > 1:
        _number(panel, found.means)
        panel.legend(
            loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=10, fontsize=_FONT - 0.5,
            frameon=False, handletextpad=-0.5, columnspacing=0.4, borderpad=0, markerscale=1.6,
        )  # fmt: skip


def _number(panel: Axes, means: FloatArray) -> None:
    """Write its value at each component's mean, unless another number is near."""
    low, high = np.transpose([panel.get_xlim(), panel.get_ylim()])
    places = (means - low) / (high - low) * _PANEL
    for value, place in enumerate(places):
        if (np.linalg.norm(places[:value] - place, axis=1) < _ROOM).any():
            continue
        x, y = means[value]
        text = panel.text(x, y, str(value), ha="center", va="center", fontsize=_FONT)
        text.set_path_effects([effects.withStroke(linewidth=1.5, foreground="white")])
