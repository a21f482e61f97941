"""What is missing and what it will cost, before it is paid."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil

import numpy as np
from rich.table import Table

from reproduction.cells import Cell
from reproduction.rows import Key, Run, Stored
from reproduction.sets import cells_of
from reproduction.settings import Reproduction, SetName
from weakdis_core.data.plan import plan as data_plan
from weakdis_core.data.variants import get_variant
from weakdis_core.errors import UserError
from weakdis_core.settings import DataSettings, Source

# Core-seconds of a step of the default presets and of the scores, on one core of an AMD EPYC.
_STEP_SECONDS = {"dsprites": 0.045, "shapes3d": 0.17}
_SCORING_SECONDS = {"none": 10.0, "converted": 60.0, "raw": 400.0}


@dataclass(frozen=True)
class Part:
    """One set's share of the work.

    Attributes:
        name: The set.
        cells: All its cells that no set before it has.
        missing: Those to train that have no row.
        stale: Those to train whose row is of other settings, code or scikit-learn.
        seconds: Estimated core-seconds of both.
    """

    name: SetName
    cells: tuple[Cell, ...]
    missing: tuple[Cell, ...]
    stale: tuple[Cell, ...]
    seconds: float

    @property
    def to_do(self) -> tuple[Cell, ...]:
        """Cells to train."""
        return self.missing + self.stale


def make_plan(settings: Reproduction, stored: Stored) -> list[Part]:
    """What the sets asked for still need.

    Raises:
        UserError: Official images are asked for and their file is nowhere, or a seed is none of
            the sets'.
    """
    # A model of the same settings that was trained for another table may lack this one's scores.
    finished = {(run.key, run.name) for run in stored.runs}
    named = {(run.name, run.seed, run.source) for run in stored.runs}
    seen: set[Key] = set()
    parts = []
    for name, chosen in _chosen(settings, resolved_sources(settings)).items():
        cells = {Key.of(cell.config): cell for cell in chosen}
        own = {key: cell for key, cell in cells.items() if key not in seen}
        seen |= own.keys()
        to_do = [(key, cell) for key, cell in own.items() if (key, cell.name) not in finished]
        had = [(cell.name, key.seed, key.source) in named for key, cell in to_do]
        missing = tuple(cell for (_, cell), old in zip(to_do, had, strict=True) if not old)
        stale = tuple(cell for (_, cell), old in zip(to_do, had, strict=True) if old)
        seconds = sum(estimate(cell, stored.runs) for _, cell in to_do)
        parts.append(Part(name, tuple(own.values()), missing, stale, seconds))
    return parts


def _chosen(settings: Reproduction, sources: dict[str, Source]) -> dict[SetName, list[Cell]]:
    """The cells of the sets, of the seeds asked for."""
    every = {name: cells_of(name, sources) for name in settings.sets}
    if settings.seeds is None:
        return every
    allowed = {cell.config.seed for cells in every.values() for cell in cells}
    for seed in settings.seeds:
        # A seed that no set has would silently leave nothing to do.
        if allowed and seed not in allowed:
            raise UserError(
                f"seeds: {seed} is not one of {', '.join(map(str, sorted(allowed)))}, "
                f"the seeds of {', '.join(settings.sets)}"
            )
    return {
        name: [cell for cell in cells if cell.config.seed in settings.seeds]
        for name, cells in every.items()
    }


def resolved_sources(settings: Reproduction) -> dict[str, Source]:
    """Where the images of each variant asked for will come from.

    Raises:
        UserError: Official images are asked for and their file is nowhere.
    """
    return {
        variant: data_plan(
            DataSettings(variant=variant, source=settings.data_source), settings.data_dir
        ).source
        for variant in settings.variant_names()
    }


def estimate(cell: Cell, runs: Iterable[Run]) -> float:
    """Core-seconds of a cell.

    By earlier runs of the same name, else of the same variant and kind of model, a step each; else
    by what a family took where this was written.
    """
    config = cell.config
    # On a GPU the CPU's seconds say nothing.
    timed = [run for run in runs if run.on_cpu]
    alike = [run for run in timed if run.name == cell.name]
    alike = alike or [
        run for run in timed if (run.variant, run.model) == (cell.variant, config.model.kind)
    ]
    steps = config.training.steps
    if not alike:
        family = get_variant(cell.variant).family
        return steps * _STEP_SECONDS[family] + _SCORING_SECONDS[cell.disentanglement]
    step = float(np.mean([run.cpu_seconds / run.steps for run in alike]))
    same = [run.scoring_seconds for run in alike if run.name == cell.name]
    scoring = float(np.mean(same)) if same else _SCORING_SECONDS[cell.disentanglement]
    return steps * step + scoring


def plan_table(parts: list[Part], jobs: int) -> Table:
    """The plan as it is printed.

    Args:
        parts: The sets' shares.
        jobs: Models trained at once.
    """
    table = Table(box=None, title_justify="left", title="plan")
    table.add_column("set")
    for column in ("cells", "done", "missing", "stale", "core-hours"):
        table.add_column(column, justify="right")
    for part in parts:
        table.add_row(part.name, *_numbers([part]))
    table.add_section()
    table.add_row("all", *_numbers(parts))
    to_do = sum(len(part.to_do) for part in parts)
    hours = sum(part.seconds for part in parts) / 3600
    longest = ceil(to_do / jobs) * hours / max(to_do, 1)
    table.caption = f"{jobs} at once: about {longest:.1f} hours"
    return table


def _numbers(parts: list[Part]) -> list[str]:
    cells, missing, stale = (
        sum(len(getattr(part, name)) for part in parts) for name in ("cells", "missing", "stale")
    )
    hours = sum(part.seconds for part in parts) / 3600
    return [str(n) for n in (cells, cells - missing - stale, missing, stale)] + [f"{hours:.1f}"]
