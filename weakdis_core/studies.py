"""The studies of the paper: the table rows that each declares, by variant and data source.

`sweeps` trains their runs (`--study`), `analysis` builds the tables.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

from weakdis_core import rows
from weakdis_core.config.additions import additions_of, without_addition
from weakdis_core.config.settings import Source
from weakdis_core.rows import FEWER_SEEDS, SEEDS, DeclaredRun, Row, ours, row_of, with_labels

StudyName = Literal["models", "baselines", "ablation", "labels", "controls", "own"]


@dataclass(frozen=True)
class Ablation:
    """An ablation table: each row changes one thing in our model.

    Attributes:
        variant: The data set variant.
        seeds: Training seeds of every row.
        only: Additions to remove; by default all of the preset's, with the other changes too.
        labels: Size of the labelled subset, one of `LABELS`; by default the preset's.
    """

    variant: str
    seeds: tuple[int, ...]
    only: tuple[str, ...] = ()
    labels: int | None = None

    def __str__(self) -> str:
        return self.variant + (f", {self.labels} labels" if self.labels else "")

    def unchanged(self, source: Source) -> Row:
        """Declare the reference row: our model."""
        if self.labels is None:
            return ours(self.variant, source, self.seeds)
        return with_labels(self.variant, source, self.labels)

    def changed(self, source: Source) -> dict[str, Row]:
        """Declare the other rows by their change, such as `without cycle` or `with cycle`."""
        run = self.unchanged(source)[0]
        full = run.config
        removed = self.only or additions_of(full)
        configs = {f"without {name}": without_addition(full, name) for name in removed}
        if not self.only:
            # The paper does not specify this setting, so it is no addition.
            configs["without scaled covariances"] = full.with_values({"loss.covariance_scale": 1.0})
            for name, values in UNUSED_ADDITIONS.get(self.variant, {}).items():
                configs[f"with {name}"] = full.with_values(values)
        return {
            change: row_of(f"{run.row} {change}", config, self.seeds)
            for change, config in configs.items()
        }


ABLATIONS = (
    Ablation("dsprites_v4", FEWER_SEEDS),
    Ablation("shapes3d_v3", SEEDS[:1]),
    # In the tables above the shared covariance has no effect; it was designed for this variant.
    Ablation("shapes3d_v2", FEWER_SEEDS, only=("shared covariance",)),
    Ablation(
        "dsprites_v4",
        FEWER_SEEDS,
        only=("shared covariance", "standardised prior", "label temperature"),
        labels=100,
    ),
)
"""The tables of the ablation."""

UNUSED_ADDITIONS: dict[str, dict[str, dict[str, Any]]] = {
    "dsprites_v4": {
        "cycle": {"loss.cycle_weight": 0.2, "loss.cycle_start": 0.15},
        "He initialisation": {"model.he_initialisation": True},
        "learning rate ramp": {"training.ramp_steps": 60},
        "clipping": {"training.clip": 5.0},
    },
}
"""Additions that the preset of a variant does not use, with the settings that enable each."""


def _ablation(variant: str, source: Source) -> list[Row]:
    found: list[Row] = []
    for table in ABLATIONS:
        if table.variant == variant:
            found += [table.unchanged(source), *table.changed(source).values()]
    return found


def _labels(variant: str, source: Source) -> list[Row]:
    own = rows.ours(variant, source)[0].config.data.description
    if own is None:
        if variant not in rows.LABEL_VARIANTS:
            return [rows.drawn_labels(variant, source, labels) for labels in rows.RANDOM_LABELS]
        return [
            *(with_labels(variant, source, labels) for labels in rows.LABELS),
            *(rows.drawn_labels(variant, source, labels) for labels in rows.LABELS),
            *(rows.drawn_labels(variant, source, each, "chosen") for each in rows.CHOSEN_LABELS),
        ]
    # Train has 60% of the labelled pictures, or somewhat less where groups are large.
    fewest = max(len(factor.values) for factor in own.factors.values())
    sizes = [labels for labels in rows.LABELS if fewest <= labels <= own.labelled / 2]
    return [with_labels(variant, source, labels) for labels in (*sizes, 0)]


def _controls(variant: str, source: Source) -> list[Row]:
    found = [rows.literal(source)] if variant == rows.LITERAL_VARIANT else []
    if variant in rows.CONTROL_VARIANTS:
        found += [rows.shuffled(variant, source), rows.untrained(variant, source)]
    return found


STUDIES: dict[StudyName, Callable[[str, Source], list[Row]]] = {
    "models": lambda variant, source: [ours(variant, source)],
    "baselines": lambda variant, source: list(rows.previous_work(variant, source).values()),
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
