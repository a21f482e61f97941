"""What the ablation trains: our model with one thing changed at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from reproduction.cells import FEWER_SEEDS, SEEDS, Row, ours, seeded, with_labels
from weakdis_core.additions import additions_of, taken_out
from weakdis_core.settings import Source


@dataclass(frozen=True)
class Ablation:
    """A table of changes to our model, one at a time.

    Attributes:
        variant: Its data set variant.
        seeds: Seeds of every row.
        only: Additions to take out; by default all, and what is put in or taken back besides.
        labels: Size of the labelled subset, one of the label curve's; by default the preset's.
    """

    variant: str
    seeds: tuple[int, ...]
    only: tuple[str, ...] = ()
    labels: int | None = None

    def __str__(self) -> str:
        return self.variant + (f", {self.labels} labels" if self.labels else "")


_WITH_FEW_LABELS = ("shared covariance", "standardised prior", "label temperature")

ABLATIONS = (
    Ablation("dsprites_v4", FEWER_SEEDS),
    Ablation("shapes3d_v3", SEEDS[:1]),
    # What hardly shows above, where it was made for.
    Ablation("shapes3d_v2", FEWER_SEEDS, only=("shared covariance",)),
    Ablation("dsprites_v4", FEWER_SEEDS, only=_WITH_FEW_LABELS, labels=100),
)
"""Tables of the ablation."""

SETTINGS_TAKEN_BACK: dict[str, dict[str, Any]] = {
    "scaled covariances": {"loss.covariance_scale": 1.0},
}
"""Rows of the ablation beside the additions: settings that the paper's text leaves open."""

LEFT_OUT: dict[str, dict[str, dict[str, Any]]] = {
    "dsprites_v4": {
        "cycle": {"loss.cycle_weight": 0.2, "loss.cycle_start": 0.15},
        "He initialisation": {"model.he_initialisation": True},
        "learning rate ramp": {"training.ramp_steps": 60},
        "clipping": {"training.clip": 5.0},
    },
}
"""Rows of the ablation by variant: additions that do not pay there, put in again."""


def unchanged(ablation: Ablation, source: Source) -> Row:
    """Our model, that the rows of an ablation are held beside."""
    if ablation.labels is None:
        return ours(ablation.variant, source, ablation.seeds)
    return with_labels(ablation.variant, source, ablation.labels)


def changed(ablation: Ablation, source: Source) -> dict[str, Row]:
    """Rows of an ablation by what is changed: `without cycle`, `with cycle`."""
    cell = unchanged(ablation, source)[0]
    full = cell.config
    names = ablation.only or additions_of(full)
    configs = {f"without {name}": taken_out(full, name) for name in names}
    if not ablation.only:
        for name, values in SETTINGS_TAKEN_BACK.items():
            configs[f"without {name}"] = full.with_values(values)
        for name, values in LEFT_OUT.get(ablation.variant, {}).items():
            configs[f"with {name}"] = full.with_values(values)
    return {
        change: seeded(f"{cell.name} {change}", config, ablation.seeds)
        for change, config in configs.items()
    }
