"""Selection of the runs behind each table row, and their scores over seeds.

`runs` is always the frame of `analysis.data.archive.read_frame`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import pandas as pd

from analysis.data.declared import DeclaredRows
from analysis.data.runs import name_draw
from analysis.statistics import FEWEST_SEEDS, interquartile_mean, t_interval
from weakdis_core.config.settings import Source
from weakdis_core.rows import VARIANTS, Row, baselines, ours

# Configurations are chosen on validation, never on the test scores that tables show.
_CHOICE = "val/relation_accuracy_pixels"

# Every run evaluated on test has this metric.
_EVALUATED = "test/relation_accuracy_latent"

# Runs that differ in one of these are never averaged.
_UNIT = ["config_hash", "core", "sklearn"]

# Settings of our model; a run older than a setting lacks it.
_OURS = {"model.kind": "modular", "data.shuffle_labels": "False"}

_COMMON = ("variant", "source", "config_hash", "labels", "label_draw", "core", "sklearn")
DESCRIPTION = ("model", *_COMMON, "seeds", "planned")
"""Columns that describe a row, beside its scores."""

PRESET, CONFIRMED = "ours, preset", "ours, confirmed"
"""Our models of the rows: the default preset, and a sweep's confirmed one."""

# Endings of the columns that hold integers.
_COUNTS = ("labels", "seeds", "rows", "combinations", "core", "planned")

SOURCES: tuple[Source, ...] = ("rendered", "official")
"""Resolved sources of images."""


@dataclass(frozen=True)
class TableRow:
    """A row of the paper's tables: one configuration and its finished runs.

    Attributes:
        model: `PRESET`, `CONFIRMED`, or the name of a baseline (`rows.baselines`).
        runs: The runs, one for each seed.
        planned: Number of seeds that the row needs.
    """

    model: str
    runs: pd.DataFrame
    planned: int

    def summarize(self, metrics: Mapping[str, str]) -> dict[str, Any]:
        """Return the description and the scores of the row.

        Args:
            metrics: Name of each score, and its metric.

        Returns:
            `DESCRIPTION`, and for each score its mean over seeds, the ends of the 95% t-interval
            (`_low`, `_high`), the interquartile mean (`_iqm`) and the number of seeds that have it
            (`_seeds`).
        """
        first = self.runs.iloc[0].rename({"data.labels": "labels"})
        first["label_draw"] = name_draw(first)
        row: dict[str, Any] = {"model": self.model} | {name: first[name] for name in _COMMON}
        row |= {"seeds": len(self.runs), "planned": self.planned}
        for name, metric in metrics.items():
            # Runs older than a metric lack it.
            values = self.runs.get(metric, pd.Series(dtype=float)).to_numpy(dtype=float)
            interval = t_interval(values)
            row |= {
                name: interval.value,
                f"{name}_low": interval.low,
                f"{name}_high": interval.high,
                f"{name}_iqm": interquartile_mean(values),
                f"{name}_seeds": interval.n,
            }
        return row


def select_rows(runs: pd.DataFrame) -> list[TableRow]:
    """Select the rows of the paper's tables that have finished runs.

    Returns:
        For each source of images: the preset's rows, the configurations that sweeps confirmed, and
        the rows of the baselines.
    """
    declared, cells = DeclaredRows(runs), list(product(VARIANTS, SOURCES))

    def select(model: str, row: Row) -> TableRow:
        return TableRow(model, declared.runs([row]), len(row))

    found = [select(PRESET, ours(*cell)) for cell in cells]
    found += [TableRow(CONFIRMED, seeds, FEWEST_SEEDS) for seeds in select_confirmed(runs)]
    for cell in cells:
        for name, each in baselines(*cell).items():
            found += [select(name, row) for row in each]
    found = [row for row in found if len(row.runs)]
    return sorted(found, key=lambda row: str(row.runs["source"].iloc[0]))


def select_confirm_runs(runs: pd.DataFrame) -> pd.DataFrame:
    """Select the finished confirm runs; of several with one configuration and seed, the latest.

    Search trials never count: the best of them was chosen among many by its score.
    """
    runs = _select_evaluated(runs)
    finished = runs["stage"].eq("confirm") & runs["status"].eq("FINISHED")
    ordered = runs[finished].sort_values("started", kind="stable")
    return ordered.drop_duplicates(["variant", "source", *_UNIT, "seed"], keep="last")


def count_unconfirmed(runs: pd.DataFrame, variants: Iterable[str]) -> dict[str, int]:
    """Count the evaluated search trials of each variant without a confirmed configuration."""
    confirmed = set(select_confirm_runs(runs)["variant"])
    evaluated = _select_evaluated(runs)
    searched = evaluated[evaluated["stage"].eq("search")]["variant"].value_counts()
    return {name: int(searched.get(name, 0)) for name in variants if name not in confirmed}


def select_confirmed(runs: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """Select the confirm runs of one configuration for each variant and source.

    Of several configurations it takes the one of the newest core, then with the most seeds, then
    the best on validation, then the latest. It never averages over versions of scikit-learn,
    because DCI and SAP depend on them.
    """
    for _, cell in select_confirm_runs(runs).groupby(["variant", "source"]):
        units = cell.groupby(_UNIT, as_index=False).agg(
            seeds=("seed", "size"), choice=(_CHOICE, "mean"), started=("started", "max")
        )
        ranked = units.sort_values(["core", "seeds", "choice", "started"], na_position="first")
        yield cell.merge(ranked[_UNIT].tail(1), on=_UNIT)


def score_columns(metrics: Iterable[str]) -> tuple[str, ...]:
    """Return the columns of `TableRow.summarize` that hold scores."""
    ends = ("", "_low", "_high", "_iqm", "_seeds")
    return tuple(f"{name}{end}" for name in metrics for end in ends)


def build_table(lines: list[dict[str, Any]], columns: Sequence[str]) -> pd.DataFrame:
    """Build a table with the given columns; a missing value is NaN, counts are `Int64`."""
    table = pd.DataFrame(lines).reindex(columns=list(columns))
    counts = [name for name in columns if name.endswith(_COUNTS)]
    return table.astype(dict.fromkeys(counts, "Int64"))


def _select_evaluated(runs: pd.DataFrame) -> pd.DataFrame:
    """Select the runs of our model that were evaluated on test."""
    needed = (_EVALUATED, _CHOICE, "data.labels", *_OURS)
    runs = runs.reindex(columns=list(dict.fromkeys([*runs.columns, *needed])))
    for name, value in _OURS.items():
        runs = runs[runs[name].isna() | runs[name].eq(value)]
    return runs[runs[_EVALUATED].notna()]
