"""The sets of cells that `python -m reproduction` trains, by name."""

from __future__ import annotations

from collections.abc import Callable

from reproduction import ablations, cells
from reproduction.cells import Cell, Row
from reproduction.settings import SetName
from weakdis_core.settings import Source


def _models(variant: str, source: Source) -> list[Row]:
    return [cells.ours(variant, source)]


def _baselines(variant: str, source: Source) -> list[Row]:
    return list(cells.previous_work(variant, source).values())


def _ablation(variant: str, source: Source) -> list[Row]:
    return [
        row
        for ablation in ablations.ABLATIONS
        if ablation.variant == variant
        for row in (
            ablations.unchanged(ablation, source),
            *ablations.changed(ablation, source).values(),
        )
    ]


def _labels(variant: str, source: Source) -> list[Row]:
    if variant not in cells.LABEL_VARIANTS:
        return []
    return [cells.with_labels(variant, source, labels) for labels in cells.LABELS]


def _controls(variant: str, source: Source) -> list[Row]:
    rows = [cells.literal(source)] if variant == cells.LITERAL_VARIANT else []
    if variant in cells.CONTROL_VARIANTS:
        rows += [cells.shuffled(variant, source), cells.untrained(variant, source)]
    return rows


SETS: dict[SetName, Callable[[str, Source], list[Row]]] = {
    "models": _models,
    "baselines": _baselines,
    "ablation": _ablation,
    "labels": _labels,
    "controls": _controls,
}
"""The rows of each set, by variant and data source."""


def cells_of(
    name: SetName,
    sources: dict[str, Source],
) -> list[Cell]:
    """The cells of a set.

    Args:
        name: The set.
        sources: Variants wanted, and the resolved source of each one's images.
    """
    return [
        cell
        for variant in cells.VARIANTS
        if variant in sources
        for row in SETS[name](variant, sources[variant])
        for cell in row
    ]
