"""Scores of declared rows: one score for each training seed, NaN where it is missing.

`runs` is always the frame of `analysis.data.archive.read_frame`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from analysis.data.archive import get_scores
from analysis.data.runs import get_keys, select_finished
from analysis.statistics import UNDEFINED, Interval, paired_interval, t_interval, wilson_interval
from weakdis_core.rows import PRESET_SEEDS, DeclaredRun, Row, with_seeds
from weakdis_core.run_key import Versions
from weakdis_core.scores.counts import count_of


def select_untrained(
    runs: pd.DataFrame, declared: Iterable[DeclaredRun]
) -> tuple[list[DeclaredRun], list[DeclaredRun]]:
    """Select the declared runs that have no current result.

    A result must match in its key and in its row: the same configuration, trained for another row,
    may lack scores.

    Returns:
        Runs without a result, and stale runs, whose result has other settings or versions.
    """
    finished = select_finished(runs)
    keys = set(get_keys(finished))
    named = set(zip(finished["row"], finished["seed"], finished["source"], strict=True))
    to_do = [run for run in declared if _identity(run) not in keys]
    stale = [run for run in to_do if (run.row, run.config.seed, run.config.data.source) in named]
    return [run for run in to_do if run not in stale], stale


class DeclaredRows:
    """Finished runs of declared rows under one version of the core and of scikit-learn.

    Runs are looked up by configuration, so other settings or data sources never mix.

    Attributes:
        versions: The versions to show; by default those of this process.
        left_out: Number of finished runs of other versions.
    """

    def __init__(self, runs: pd.DataFrame, versions: Versions | None = None) -> None:
        self.versions = versions or Versions.here()
        finished = select_finished(runs)
        same = finished["core"].eq(self.versions.code)
        same &= finished["sklearn"].eq(self.versions.scikit_learn)
        self.left_out = int((~same).sum())
        key = ["config_hash", "source", "seed"]
        unique = finished[same].drop_duplicates(key, keep="last")
        by_seed = unique.set_index("seed", drop=False).sort_index()
        self._none = by_seed.iloc[:0]
        self._own = by_seed[by_seed["source"].eq("own")]
        self._seeds = by_seed.index.unique()
        self._runs = dict(iter(by_seed.groupby([by_seed[name].to_numpy() for name in key])))

    def runs(self, rows: Sequence[Row]) -> pd.DataFrame:
        """Return the finished runs of some rows, in order, without duplicates."""
        return pd.concat([self._none, *map(self._finished, rows)]).drop_duplicates("run_id")

    def own(self, name: str) -> pd.DataFrame:
        """Return the finished runs of the newest settings of a row of own pictures.

        The row is found by its name: its settings have a digest of pictures that need not be here.
        """
        named = self._own[self._own["row"].eq(name)]
        newest = named.sort_values("finished")["config_hash"].tail(1)
        return named[named["config_hash"].isin(newest) & ~named["seed"].isin(PRESET_SEEDS)]

    def seeds(self, row: Row) -> int:
        """Return the number of finished runs of a row."""
        return len(self._finished(row))

    def values(self, row: Row, metric: str) -> pd.Series[float]:
        """Return a metric for each seed of a row; NaN where it is missing.

        Args:
            row: A declared row. Its seeds come first, then other trained seeds.
            metric: Name of a test score, or `cpu_seconds`, which is NaN for runs on a GPU.
        """
        own = self._finished(row)
        seeds = dict.fromkeys([*(run.config.seed for run in row), *own["seed"]])
        return read_metric(own, metric).reindex(list(seeds))

    def interval(self, row: Row, metric: str) -> Interval:
        """Return the mean of a metric over seeds, with its t-interval."""
        return t_interval(self.values(row, metric).tolist())

    def accuracy(self, run: DeclaredRun, metric: str) -> Interval:
        """Return an accuracy of one run, with Wilson's interval over its images.

        The ends are NaN if the number of images is unknown.
        """
        own = self._finished((run,))
        own = own[own["seed"].eq(run.config.seed)]
        if own.empty:
            return UNDEFINED
        scores = get_scores(own.iloc[0])
        value, n = scores.get(metric, np.nan), count_of(metric, scores)
        if n is None or np.isnan(value):
            return Interval(value, np.nan, np.nan, 0 if np.isnan(value) else 1)
        return wilson_interval(round(value * n), n)

    def difference(self, row: Row, other: Row, metric: str) -> Interval:
        """Return the mean difference of two rows over their common seeds, with its t-interval."""
        first, second = self.values(row, metric), self.values(other, metric)
        both = first.index.intersection(second.index)
        return paired_interval(first[both].tolist(), second[both].tolist())

    def _finished(self, row: Row) -> pd.DataFrame:
        """Return the finished runs of a row: its declared seeds first, then other ones."""
        more = (seed for seed in self._seeds if seed not in PRESET_SEEDS)
        seeds = dict.fromkeys([*(run.config.seed for run in row), *more])
        runs = (run.config for run in with_seeds(row, seeds))
        keys = ((config.hash(), config.data.source, config.seed) for config in runs)
        return pd.concat([self._none, *(self._runs[key] for key in keys if key in self._runs)])


def read_metric(runs: pd.DataFrame, metric: str) -> pd.Series[float]:
    """Read a test score of some runs, or `cpu_seconds`, which is NaN for runs on a GPU."""
    name = metric if metric == "cpu_seconds" else f"test/{metric}"
    values = runs.get(name, pd.Series(np.nan, runs.index))
    if metric == "cpu_seconds":
        values = values.where(is_on_cpu(runs))
    return values.astype(float)


def is_on_cpu(runs: pd.DataFrame) -> pd.Series[bool]:
    """Mark the runs trained on a CPU; only their seconds predict the cost of other runs."""
    return runs["device"].astype(str).str.startswith("cpu")


def _identity(run: DeclaredRun) -> tuple[object, ...]:
    key = run.key()
    return (*key[:-1], *key.versions, run.row)
