"""Confusion matrices of factors and of relations."""

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from matplotlib.axes import Axes
from numpy.typing import NDArray
from torch import Tensor

from weakdis_core.data.variant import UNKNOWN
from weakdis_core.evaluation.oracle import Oracle
from weakdis_core.files import write_text
from weakdis_core.pictures.canvas import Head, draw_panels, save
from weakdis_core.training.trainer import Trainer

Counts = NDArray[np.int64]

# Test images in a matrix, at most.
_FACTOR_IMAGES, _RELATION_IMAGES = 1000, 300
_CHUNK = 200
_COLUMNS = 5
# Width and height in inches.
_PANEL = (1.55, 1.9)
_FONT = 6.0
# Largest number of values for which the counts fit their cells.
_COUNTED = 10
# Letters of all names for which they fit beside each other.
_WIDE = 12


@dataclass(frozen=True)
class Confusion:
    """A confusion matrix of a factor or a relation.

    Attributes:
        kind: `factor` compares the encoder's reading of images with their true values. `relation`
            compares the oracle's reading of decoded images with the values after the relation.
        name: Name of the factor or relation.
        counts: `(values, values)`, a row for each expected value.
        values: Names of the values.
    """

    kind: Literal["factor", "relation"]
    name: str
    counts: Counts
    values: tuple[str, ...]

    @property
    def accuracy(self) -> float:
        """Share of images read as expected; NaN without images."""
        total = int(self.counts.sum())
        return float(self.counts.trace() / total) if total else math.nan

    @property
    def shares(self) -> NDArray[np.float64]:
        """Counts divided by the sum of their row; NaN in rows without images."""
        with np.errstate(invalid="ignore"):
            return np.asarray(self.counts / self.counts.sum(1, keepdims=True))


@torch.no_grad()
def confusions(trainer: Trainer, oracle: Oracle) -> list[Confusion]:
    """Return confusion matrices of all factors, then of all relations.

    Factors use the images with their label. Relations use those whose every factor is labelled and
    that the model's coding can judge. The oracle must be on the trainer's device.
    """
    variant, coding = trainer.variant, trainer.coding
    index = trainer.images_of("test", _FACTOR_IMAGES)
    codes = trainer.codes_of(index)
    true, read = trainer.bank.values[index], coding.read(trainer.prior, codes)
    found = [
        Confusion(
            "factor",
            factor.name,
            _count_pairs(true[rows, k], read[rows, k], factor.n_values),
            factor.value_names,
        )
        for k, factor in enumerate(variant.factors)
        for rows in [true[:, k] != UNKNOWN]
    ]
    full = (true != UNKNOWN).all(1)
    codes, true = codes[full], true[full]
    relations = variant.relation_table(str(trainer.device))
    for r, name in enumerate(variant.relation_names):
        relation = torch.full((len(true),), r, device=trainer.device)
        rows = coding.judged(true, relation).nonzero().squeeze(1)[:_RELATION_IMAGES]
        k = int(relations.factor[r])
        expected = relations.apply(true[rows], relation[rows])[:, k]
        read = expected
        # The networks refuse an empty batch.
        if len(rows):
            read = _read_after(trainer, oracle, codes[rows], relation[rows])[:, k]
        factor = variant.factors[k]
        counts = _count_pairs(expected, read, factor.n_values)
        found.append(Confusion("relation", name, counts, factor.value_names))
    return found


def write_confusion_table(found: Sequence[Confusion], path: Path) -> None:
    """Write the counts as CSV, a row for each pair of values."""
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["kind", "name", "expected", "read", "count"])
    for each in found:
        for (expected, read), count in np.ndenumerate(each.counts):
            values = each.values[expected], each.values[read]
            table.writerow([each.kind, each.name, *values, int(count)])
    write_text(path, text.getvalue())


def write_confusion(found: Sequence[Confusion], head: Head, path: Path) -> None:
    """Write a PNG of the matrices, those of relations on new lines below those of factors."""
    kinds = [[each for each in found if each.kind == kind] for kind in ("factor", "relation")]
    lines = [
        same[start : start + _COLUMNS] for same in kinds for start in range(0, len(same), _COLUMNS)
    ]
    figure, panels = draw_panels(head, len(lines), max(map(len, lines)), _PANEL, right=0.75)
    image: Any = None
    for line, places in zip(lines, panels, strict=True):
        for each, panel in zip(line, places, strict=False):
            image = _draw(panel, each)
    bar = figure.colorbar(image, ax=panels.ravel().tolist(), fraction=0.02, aspect=40, pad=0.01)
    bar.set_label("share of the row", fontsize=_FONT)
    bar.ax.tick_params(labelsize=_FONT - 0.5, length=2)
    save(figure, path, few_colours=True)


def _read_after(trainer: Trainer, oracle: Oracle, codes: Tensor, relation: Tensor) -> Tensor:
    """Return the factor values `(n, factors)` that the oracle reads after relations."""
    networks = trainer.networks
    moved = networks.relational(codes, relation).split(_CHUNK)
    return torch.cat([oracle.classify(networks.autoencoder.decode(z).sigmoid()) for z in moved])


def _count_pairs(expected: Tensor, read: Tensor, n: int) -> Counts:
    pairs = (n * expected + read).bincount(minlength=n * n)
    return np.asarray(pairs.reshape(n, n).cpu().numpy(), dtype=np.int64)


def _draw(panel: Axes, each: Confusion) -> Any:
    n = len(each.counts)
    panel.set_axis_on()
    image = panel.imshow(each.shares, cmap="cividis", vmin=0, vmax=1, interpolation="nearest")
    total = each.counts.sum()
    score = f"right: {each.accuracy:.3f} of {total}" if total else "no images"
    title = f"{each.name.replace('_', ' ')}\n{score}"
    panel.set_title(title, fontsize=_FONT + 0.5)
    panel.set_xlabel("read", fontsize=_FONT, labelpad=1)
    panel.set_ylabel("true" if each.kind == "factor" else "expected", fontsize=_FONT, labelpad=1)
    panel.set_xticks(range(n), each.values, rotation=90 if len("".join(each.values)) > _WIDE else 0)
    panel.set_yticks(range(n), each.values)
    panel.tick_params(labelsize=_FONT - 0.5, length=0, pad=1)
    style: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": min(_FONT, 44 / n)}
    for (row, column), count in np.ndenumerate(each.counts):
        if count and n <= _COUNTED:
            colour = "black" if each.shares[row, column] > 0.5 else "white"
            panel.text(column, row, str(count), color=colour, **style)
    return image
