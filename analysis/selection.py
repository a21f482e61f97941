"""Which runs make a row of a table, and its numbers. Nothing here reads a store or a file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

import pandas as pd

from analysis.declared import DeclaredRows
from analysis.statistics import FEWEST_SEEDS, interquartile_mean, t_interval
from weakdis_core.rows import VARIANTS, Row, ours, previous_work
from weakdis_core.settings import Source

# Between several configurations the choice is made on validation, never on what is shown.
_CHOICE = "val/relation_accuracy_pixels"

# Every evaluation on test has it.
_EVALUATED = "test/relation_accuracy_latent"

# Runs that differ in one of these are not averaged.
_UNIT = ["config_hash", "core", "sklearn"]

# What makes a model ours; a run that is older than the setting had it so.
_OURS = {"model.kind": "modular", "data.shuffle_labels": "False"}

_DESCRIPTION = {
    "variant": "variant",
    "source": "source",
    "config_hash": "config_hash",
    "labels": "data.labels",
    "core": "core",
    "sklearn": "sklearn",
}
DESCRIPTION = ("model", *_DESCRIPTION, "seeds", "planned")
"""What describes a row beside its scores."""

PRESET, CONFIRMED, PREVIOUS = "ours, preset", "ours, confirmed", "previous work"
"""Models of the rows: the default preset, what a sweep confirmed, the previous work's model."""

SOURCES: tuple[Source, ...] = ("rendered", "official")
"""Resolved sources of images."""


@dataclass(frozen=True)
class TableRow:
    """A row of the paper's tables: one configuration and its finished runs.

    Attributes:
        model: `PRESET`, `CONFIRMED` or `PREVIOUS`.
        runs: The runs, one a seed.
        planned: Number of seeds that the row needs.
    """

    model: str
    runs: pd.DataFrame
    planned: int

    @property
    def variant(self) -> str:
        """Its data set variant."""
        return str(self.runs["variant"].iloc[0])

    def numbers(self, metrics: Mapping[str, str]) -> dict[str, Any]:
        """Return `DESCRIPTION` and the scores, as `row_of` gives them."""
        return {"model": self.model, **row_of(self.runs, metrics), "planned": self.planned}


def table_rows(runs: pd.DataFrame) -> list[TableRow]:
    """Select the rows of the paper's tables that have finished runs.

    Args:
        runs: The frame of `analysis.frame.read_frame`.

    Returns:
        By source of the images: the declared rows of the preset, the configurations that sweeps
        confirmed, and the declared rows of the previous work's model.
    """
    declared = DeclaredRows(runs)
    wanted: list[tuple[str, Row]] = []
    for variant, source in product(VARIANTS, SOURCES):
        wanted.append((PRESET, ours(variant, source)))
        wanted += [(PREVIOUS, row) for row in previous_work(variant, source).values()]
    found = [TableRow(model, declared.runs([row]), len(row)) for model, row in wanted]
    found += [TableRow(CONFIRMED, seeds, FEWEST_SEEDS) for seeds in rows(runs)]
    order = (PRESET, CONFIRMED, PREVIOUS)
    return sorted(
        (row for row in found if len(row.runs)),
        key=lambda row: (row.runs["source"].iloc[0], order.index(row.model)),
    )


def confirmed(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs that may be averaged into a row: confirm runs that reached their end.

    A search's best trial was chosen among many by its score, so it never counts. A configuration
    run twice on one seed counts once, the later time.

    Args:
        runs: The frame of `analysis.runs.read_runs`.
    """
    runs = _evaluated(runs)
    whole = runs["stage"].eq("confirm") & runs["status"].eq("FINISHED")
    shown = runs[whole].sort_values("started", kind="stable")
    same = ["variant", "source", *_UNIT, "seed"]
    return shown.drop_duplicates(same, keep="last")


def unconfirmed(runs: pd.DataFrame, variants: Iterable[str]) -> dict[str, int]:
    """Variants without a row of ours, with the number of search results that are not shown."""
    shown = set(confirmed(runs)["variant"])
    evaluated = _evaluated(runs)
    searched = evaluated[evaluated["stage"].eq("search")]["variant"].value_counts()
    return {name: int(searched.get(name, 0)) for name in variants if name not in shown}


def rows(runs: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """The confirm runs of each row: one variant, one data source, one configuration.

    The configuration is of the newest version of the core, whose numbers replace those of older
    ones; of these that with the most seeds, then the best on validation, then the latest. A mean
    over several would describe none of them. Neither are runs under different versions of
    scikit-learn averaged, on which DCI and SAP depend.
    """
    for _, cell in confirmed(runs).groupby(["variant", "source"]):
        units = cell.groupby(_UNIT, as_index=False).agg(
            seeds=("seed", "size"), choice=(_CHOICE, "mean"), started=("started", "max")
        )
        ranked = units.sort_values(["core", "seeds", "choice", "started"], na_position="first")
        yield cell.merge(ranked[_UNIT].tail(1), on=_UNIT)


def row_of(seeds: pd.DataFrame, metrics: Mapping[str, str]) -> dict[str, Any]:
    """A row's description and its scores.

    Args:
        seeds: The runs of one configuration, one a seed.
        metrics: Name of each score and the metric behind it.

    Returns:
        Variant, source, configuration, versions and number of seeds; for each score its mean over
        seeds, the ends of the 95% t-interval (`_low`, `_high`), the interquartile mean (`_iqm`) and
        the number of seeds that have it (`_seeds`).
    """
    row: dict[str, Any] = {name: seeds[column].iloc[0] for name, column in _DESCRIPTION.items()}
    row["seeds"] = len(seeds)
    for name, metric in metrics.items():
        # Some metrics are younger than some runs.
        values = seeds.get(metric, pd.Series(dtype=float)).to_numpy(dtype=float)
        interval = t_interval(values)
        row |= {
            name: interval.value,
            f"{name}_low": interval.low,
            f"{name}_high": interval.high,
            f"{name}_iqm": interquartile_mean(values),
            f"{name}_seeds": interval.n,
        }
    return row


def columns_of(metrics: Iterable[str]) -> tuple[str, ...]:
    """The columns of `row_of` that hold scores."""
    ends = ("", "_low", "_high", "_iqm", "_seeds")
    return tuple(f"{name}{end}" for name in metrics for end in ends)


def _evaluated(runs: pd.DataFrame) -> pd.DataFrame:
    """Runs of our model that were evaluated on test."""
    needed = (_EVALUATED, _CHOICE, "data.labels", *_OURS)
    absent = [name for name in needed if name not in runs.columns]
    runs = runs.reindex(columns=[*runs.columns, *absent])
    for name, value in _OURS.items():
        runs = runs[runs[name].isna() | runs[name].eq(value)]
    return runs[runs[_EVALUATED].notna()]
