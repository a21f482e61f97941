"""Which runs make a row of a table, and its numbers. Nothing here reads a store or a file.

`runs` is the frame of `analysis.data.archive.read_frame`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import pandas as pd

from analysis.data.declared import DeclaredRows
from analysis.statistics import FEWEST_SEEDS, interquartile_mean, t_interval
from weakdis_core.config.settings import Source
from weakdis_core.rows import VARIANTS, Row, ours, previous_work

# Between several configurations the choice is made on validation, never on what is shown.
_CHOICE = "val/relation_accuracy_pixels"

# Every evaluation on test has it.
_EVALUATED = "test/relation_accuracy_latent"

# Runs that differ in one of these are not averaged.
_UNIT = ["config_hash", "core", "sklearn"]

# What makes a model ours; a run that is older than the setting had it so.
_OURS = {"model.kind": "modular", "data.shuffle_labels": "False"}

_COMMON = ("variant", "source", "config_hash", "labels", "core", "sklearn")
DESCRIPTION = ("model", *_COMMON, "seeds", "planned")
"""What describes a row beside its scores."""

PRESET, CONFIRMED, PREVIOUS = "ours, preset", "ours, confirmed", "previous work"
"""Models of the rows: the default preset, what a sweep confirmed, the previous work's model."""

# What the name of a count ends in.
_COUNTS = ("labels", "seeds", "rows", "combinations", "core", "planned")

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

    def numbers(self, metrics: Mapping[str, str]) -> dict[str, Any]:
        """Return `DESCRIPTION` and the scores, as `summarize` gives them."""
        return {"model": self.model, **summarize(self.runs, metrics), "planned": self.planned}


def select_rows(runs: pd.DataFrame) -> list[TableRow]:
    """Select the rows of the paper's tables that have finished runs.

    Returns:
        By source of the images: the declared rows of the preset, the configurations that sweeps
        confirmed, and the declared rows of the previous work's model.
    """
    declared, cells = DeclaredRows(runs), list(product(VARIANTS, SOURCES))

    def finished(model: str, row: Row) -> TableRow:
        return TableRow(model, declared.runs([row]), len(row))

    found = [finished(PRESET, ours(*cell)) for cell in cells]
    found += [TableRow(CONFIRMED, seeds, FEWEST_SEEDS) for seeds in select_confirmed(runs)]
    found += [finished(PREVIOUS, row) for cell in cells for row in previous_work(*cell).values()]
    found = [row for row in found if len(row.runs)]
    # Stable: otherwise in the order above.
    return sorted(found, key=lambda row: str(row.runs["source"].iloc[0]))


def select_confirm_runs(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs that may be averaged into a row: confirm runs that reached their end.

    A search's best trial was chosen among many by its score, so it never counts. A configuration
    run twice on one seed counts once, the later time.
    """
    runs = _evaluated(runs)
    whole = runs["stage"].eq("confirm") & runs["status"].eq("FINISHED")
    shown = runs[whole].sort_values("started", kind="stable")
    return shown.drop_duplicates(["variant", "source", *_UNIT, "seed"], keep="last")


def count_unconfirmed(runs: pd.DataFrame, variants: Iterable[str]) -> dict[str, int]:
    """Variants without a row of ours, with the number of search results that are not shown."""
    shown = set(select_confirm_runs(runs)["variant"])
    evaluated = _evaluated(runs)
    searched = evaluated[evaluated["stage"].eq("search")]["variant"].value_counts()
    return {name: int(searched.get(name, 0)) for name in variants if name not in shown}


def select_confirmed(runs: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """The confirm runs of each row: one variant, one data source, one configuration.

    Of several configurations, whose mean would describe none of them, it is the one of the newest
    core, then the one with the most seeds, the best on validation, the latest. Runs under different
    versions of scikit-learn are not averaged either: DCI and SAP depend on it.
    """
    for _, cell in select_confirm_runs(runs).groupby(["variant", "source"]):
        units = cell.groupby(_UNIT, as_index=False).agg(
            seeds=("seed", "size"), choice=(_CHOICE, "mean"), started=("started", "max")
        )
        ranked = units.sort_values(["core", "seeds", "choice", "started"], na_position="first")
        yield cell.merge(ranked[_UNIT].tail(1), on=_UNIT)


def summarize(seeds: pd.DataFrame, metrics: Mapping[str, str]) -> dict[str, Any]:
    """A row's description and its scores.

    Args:
        seeds: The runs of one configuration, one a seed.
        metrics: Name of each score and the metric behind it.

    Returns:
        `DESCRIPTION` but for model and planned seeds; for each score its mean over seeds, the ends
        of the 95% t-interval (`_low`, `_high`), the interquartile mean (`_iqm`) and the number of
        seeds that have it (`_seeds`).
    """
    first = seeds.iloc[0].rename({"data.labels": "labels"})
    row: dict[str, Any] = {name: first[name] for name in _COMMON} | {"seeds": len(seeds)}
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


def score_columns(metrics: Iterable[str]) -> tuple[str, ...]:
    """The columns of `summarize` that hold scores."""
    ends = ("", "_low", "_high", "_iqm", "_seeds")
    return tuple(f"{name}{end}" for name in metrics for end in ends)


def build_table(lines: list[dict[str, Any]], columns: Sequence[str]) -> pd.DataFrame:
    """Collect lines into a table of the given columns; a missing value is NaN, a count `Int64`."""
    table = pd.DataFrame(lines).reindex(columns=list(columns))
    counts = [name for name in columns if name.endswith(_COUNTS)]
    return table.astype(dict.fromkeys(counts, "Int64"))


def _evaluated(runs: pd.DataFrame) -> pd.DataFrame:
    """Runs of our model that were evaluated on test."""
    needed = (_EVALUATED, _CHOICE, "data.labels", *_OURS)
    runs = runs.reindex(columns=list(dict.fromkeys([*runs.columns, *needed])))
    for name, value in _OURS.items():
        runs = runs[runs[name].isna() | runs[name].eq(value)]
    return runs[runs[_EVALUATED].notna()]
