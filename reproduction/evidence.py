"""From stored rows to the numbers of the tables: one score a seed, missing ones NaN."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from analysis.statistics import Interval, paired_interval, t_interval, wilson_interval
from reproduction.cells import Cell, Row
from reproduction.rows import Key, Run, Score, Scores, Stored, Versions


class Evidence:
    """The stored runs that may be shown: those of one version of the code and of scikit-learn.

    A table asks by configuration, so that rows of other settings are never found, and those of
    another source neither, for the source is a setting.

    Args:
        stored: What the results folder holds.
        versions: What to show; this process's by default.
    """

    def __init__(self, stored: Stored, versions: Versions | None = None) -> None:
        self.versions = versions or Versions.here()
        current = [run for run in stored.runs if run.key.versions == self.versions]
        self.left_out = len(stored.runs) - len(current)
        self._runs: dict[Key, Run] = {run.key: run for run in current}
        self._scores: dict[Key, Scores] = {run.key: stored.scores[run.run] for run in current}

    def runs(self, rows: Sequence[Row]) -> list[Run]:
        """The finished runs of some rows, in order, each once."""
        keys = dict.fromkeys(self._key(cell) for row in rows for cell in row)
        return [self._runs[key] for key in keys if key in self._runs]

    def has(self, cell: Cell) -> bool:
        """Whether a cell is finished."""
        return self._key(cell) in self._runs

    def values(self, row: Row, metric: str) -> NDArray[np.float64]:
        """A metric of each seed of a row, NaN where the run or the score is missing.

        Args:
            row: Cells that differ in their seed only.
            metric: Name of a score, or `cpu_seconds`.
        """
        values = np.full(len(row), np.nan)
        for i, cell in enumerate(row):
            key = self._key(cell)
            if key not in self._runs:
                continue
            if metric == "cpu_seconds":
                run = self._runs[key]
                # The seconds of a GPU's host say nothing.
                values[i] = run.cpu_seconds if run.on_cpu else np.nan
            elif metric in self._scores[key]:
                values[i] = self._scores[key][metric].value
        return values

    def interval(self, row: Row, metric: str) -> Interval:
        """Mean of a metric over seeds with its t-interval."""
        return t_interval(self.values(row, metric))

    def accuracy(self, cell: Cell, metric: str) -> Interval:
        """An accuracy of one model with Wilson's interval over its images.

        The interval is undefined where their number is not known.
        """
        value, n = self._scores.get(self._key(cell), {}).get(metric, Score(np.nan))
        if n is None or np.isnan(value):
            return Interval(value, np.nan, np.nan, 0 if np.isnan(value) else 1)
        return wilson_interval(round(value * n), n)

    def difference(self, row: Row, other: Row, metric: str) -> Interval:
        """Mean difference between two rows of the same seeds with its t-interval.

        Raises:
            ValueError: Their seeds are not the same.
        """
        if [cell.config.seed for cell in row] != [cell.config.seed for cell in other]:
            raise ValueError(f"{row[0].name} and {other[0].name} are of other seeds")
        return paired_interval(self.values(row, metric), self.values(other, metric))

    def _key(self, cell: Cell) -> Key:
        return Key.of(cell.config, self.versions)
