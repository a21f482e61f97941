"""The studies of the paper: the table rows that each declares, by variant and data source.

`sweeps` trains their runs (`--study`), `analysis` builds the tables.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from weakdis_core import rows
from weakdis_core.config.additions import additions_of, without_addition
from weakdis_core.config.settings import Source
from weakdis_core.rows import FEWER_SEEDS, DeclaredRun, Row, ours, row_of, with_labels

StudyName = Literal["models", "baselines", "ablation", "labels", "controls", "own"]


@dataclass(frozen=True)
class Ablation:
    """An ablation table: each row changes one thing in our model, on the first three seeds.

    Attributes:
        variant: The data set variant.
        labels: Size of the labelled subset, one of `rows.FEW_SIZES`. With few labels the additions
            matter most.
    """

    variant: str
    labels: int = 100

    def unchanged(self, source: Source) -> Row:
        """Declare the reference row: our model."""
        return with_labels(self.variant, source, self.labels)

    def changed(self, source: Source) -> dict[str, Row]:
        """Declare the other rows by their change, such as `without sleep phase`."""
        run = self.unchanged(source)[0]
        full = run.config
        configs = {f"without {name}": without_addition(full, name) for name in additions_of(full)}
        # The paper does not specify this setting, so it is no addition.
        configs["without scaled covariances"] = full.with_values({"loss.covariance_scale": 1.0})
        return {
            change: row_of(f"{run.row} {change}", config, FEWER_SEEDS)
            for change, config in configs.items()
        }


ABLATIONS = (Ablation("dsprites_v4"), Ablation("shapes3d_v3"))
"""The tables of the ablation: one variant of each family."""


def _ablation(variant: str, source: Source) -> list[Row]:
    found: list[Row] = []
    for table in ABLATIONS:
        if table.variant == variant:
            found += [table.unchanged(source), *table.changed(source).values()]
    return found


def _labels(variant: str, source: Source) -> list[Row]:
    own = ours(variant, source)[0].config.data.description
    if own is not None:
        # Train has 60% of the labelled pictures, or somewhat less where groups are large.
        sizes = [labels for labels in rows.LABELS if labels <= own.labelled / 2]
        return [with_labels(variant, source, labels) for labels in (*sizes, 0)]
    if variant not in rows.LABEL_VARIANTS:
        return [with_labels(variant, source, labels) for labels in rows.FEW_SIZES]
    return [
        *(with_labels(variant, source, labels) for labels in rows.LABELS),
        *(with_labels(variant, source, labels, "chosen") for labels in rows.CHOSEN_SIZES),
        *(with_labels(variant, source, labels, "even") for labels in rows.LABELS),
    ]


def _baselines(variant: str, source: Source) -> list[Row]:
    return [row for each in rows.baselines(variant, source).values() for row in each]


def _controls(variant: str, source: Source) -> list[Row]:
    found = [rows.literal(source)] if variant == rows.LITERAL_VARIANT else []
    if variant in rows.CONTROL_VARIANTS:
        found += [rows.shuffled(variant, source), rows.untrained(variant, source)]
    return found


STUDIES: dict[StudyName, Callable[[str, Source], list[Row]]] = {
    "models": lambda variant, source: [ours(variant, source)],
    "baselines": _baselines,
    "ablation": _ablation,
    "labels": _labels,
    "controls": _controls,
    "own": lambda variant, _: [rows.own_example(variant)] if variant in rows.OWN_EXAMPLES else [],
}
"""The rows of each study, by variant and data source."""


def study_variants(study: StudyName) -> tuple[str, ...]:
    """Return the variants of a study."""
    if study == "own":
        return tuple(rows.OWN_EXAMPLES)
    return tuple(name for name in rows.VARIANTS if STUDIES[study](name, "rendered"))


def declared_runs(
    study: StudyName, variant: str, source: Source, seeds: Iterable[int] | None = None
) -> list[DeclaredRun]:
    """Return the runs of a study on one variant, without duplicates.

    Args:
        study: The study.
        variant: One of the paper's variants.
        source: Source of the images, not `auto`.
        seeds: Training seeds of every row; by default the declared ones.

    Returns:
        The runs in the order of their rows; none if the study does not use the variant.
    """
    found = STUDIES[study](variant, source)
    if seeds is not None:
        seeds = tuple(seeds)
        found = [rows.with_seeds(row, seeds) for row in found]
    return list(dict.fromkeys(run for row in found for run in row))
