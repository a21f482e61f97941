"""The declared studies of the paper: which rows each one needs, by variant and data source.

A study is a list of rows (`weakdis_core.rows`). `sweeps` trains their runs (`--study`), `analysis`
builds the tables from them.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

from weakdis_core import rows
from weakdis_core.config.additions import additions_of, taken_out
from weakdis_core.config.settings import Source
from weakdis_core.rows import FEWER_SEEDS, SEEDS, DeclaredRun, Row, ours, row_of, with_labels

StudyName = Literal["models", "baselines", "ablation", "labels", "controls"]


@dataclass(frozen=True)
class Ablation:
    """A table of changes to our model, one at a time.

    Attributes:
        variant: Its data set variant.
        seeds: Training seeds of every row.
        only: Additions to take out; by default all of the preset's, and the other changes too.
        labels: Size of the labelled subset, one of `LABELS`; by default the preset's.
    """

    variant: str
    seeds: tuple[int, ...]
    only: tuple[str, ...] = ()
    labels: int | None = None

    def __str__(self) -> str:
        return self.variant + (f", {self.labels} labels" if self.labels else "")

    def unchanged(self, source: Source) -> Row:
        """Declare our model, which the other rows are compared with."""
        if self.labels is None:
            return ours(self.variant, source, self.seeds)
        return with_labels(self.variant, source, self.labels)

    def changed(self, source: Source) -> dict[str, Row]:
        """Declare the rows by what is changed: `without cycle`, `with cycle`."""
        run = self.unchanged(source)[0]
        full = run.config
        names = self.only or additions_of(full)
        configs = {f"without {name}": taken_out(full, name) for name in names}
        if not self.only:
            for name, values in SETTINGS_TAKEN_BACK.items():
                configs[f"without {name}"] = full.with_values(values)
            for name, values in LEFT_OUT.get(self.variant, {}).items():
                configs[f"with {name}"] = full.with_values(values)
        return {
            change: row_of(f"{run.row} {change}", config, self.seeds)
            for change, config in configs.items()
        }


_WITH_FEW_LABELS = ("shared covariance", "standardised prior", "label temperature")

ABLATIONS = (
    Ablation("dsprites_v4", FEWER_SEEDS),
    Ablation("shapes3d_v3", SEEDS[:1]),
    # The shared covariance shows no effect above; it was made for this variant.
    Ablation("shapes3d_v2", FEWER_SEEDS, only=("shared covariance",)),
    Ablation("dsprites_v4", FEWER_SEEDS, only=_WITH_FEW_LABELS, labels=100),
)
"""The tables of the ablation."""

SETTINGS_TAKEN_BACK: dict[str, dict[str, Any]] = {
    "scaled covariances": {"loss.covariance_scale": 1.0},
}
"""Settings that the paper's text leaves open, each with the value that an ablation gives it."""

LEFT_OUT: dict[str, dict[str, dict[str, Any]]] = {
    "dsprites_v4": {
        "cycle": {"loss.cycle_weight": 0.2, "loss.cycle_start": 0.15},
        "He initialisation": {"model.he_initialisation": True},
        "learning rate ramp": {"training.ramp_steps": 60},
        "clipping": {"training.clip": 5.0},
    },
}
"""Additions that the preset of a variant leaves out, with the settings that put each one in."""


def _ablation(variant: str, source: Source) -> list[Row]:
    return [
        row
        for table in ABLATIONS
        if table.variant == variant
        for row in (table.unchanged(source), *table.changed(source).values())
    ]


def _labels(variant: str, source: Source) -> list[Row]:
    if variant not in rows.LABEL_VARIANTS:
        return []
    return [with_labels(variant, source, labels) for labels in rows.LABELS]


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
}
"""The rows of each study, by variant and data source."""


def study_variants(study: StudyName) -> tuple[str, ...]:
    """List the variants that a study uses."""
    return tuple(name for name in rows.VARIANTS if STUDIES[study](name, "rendered"))


def declared_runs(
    study: StudyName, variant: str, source: Source, seeds: Iterable[int] | None = None
) -> list[DeclaredRun]:
    """List the runs of a study on one variant, each once.

    Args:
        study: The study.
        variant: One of the paper's variants.
        source: Source of the images, resolved.
        seeds: Training seeds of every row; by default the declared ones.

    Returns:
        The runs in the order of their rows; empty where the study does not use the variant.
    """
    found = STUDIES[study](variant, source)
    if seeds is not None:
        seeds = tuple(seeds)
        found = [row_of(row[0].row, row[0].config, seeds, row[0].disentanglement) for row in found]
    return list(dict.fromkeys(run for row in found for run in row))
