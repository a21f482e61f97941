"""Selection of the runs behind the scores of declared rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from analysis.data.declared import DeclaredRows, select_untrained
from tests.analysis.studied import HERE, studied
from weakdis_core import rows
from weakdis_core.run_key import Versions

LATENT = "relation_accuracy_latent"
OURS = rows.ours("dsprites_v4", "rendered")


def latent(values: Sequence[float]) -> dict[str, Sequence[float]]:
    return {LATENT: values}


def together(*parts: pd.DataFrame) -> pd.DataFrame:
    return pd.concat(parts, ignore_index=True)


@pytest.mark.parametrize(
    "versions", [Versions(HERE.code - 1, HERE.scikit_learn), Versions(HERE.code, "0.99")]
)
def test_runs_of_other_versions_are_never_averaged_in(versions: Versions) -> None:
    past = studied((OURS, latent([0.9] * 5)), versions=versions)
    runs = together(past, studied((OURS, latent([0.5, 0.5]))))
    declared = DeclaredRows(runs)
    assert declared.left_out == 5
    assert declared.interval(OURS, LATENT).n == declared.seeds(OURS) == 2
    assert declared.interval(OURS, LATENT).value == 0.5
    assert declared.values(OURS, LATENT).tolist()[2:] == pytest.approx([math.nan] * 3, nan_ok=True)
    assert DeclaredRows(runs, versions).interval(OURS, LATENT).value == 0.9


def test_runs_of_other_settings_or_another_source_are_never_averaged_in() -> None:
    changes = ({"loss.lambda": 0.9}, {"data.source": "official"}, {"data.labels": 999})
    others = [
        tuple(replace(run, config=run.config.with_values(change)) for run in OURS)
        for change in changes
    ]
    every = studied(*((row, latent([0.1] * 5)) for row in others))
    declared = DeclaredRows(together(every, studied((OURS, latent([0.7])))))
    assert declared.values(OURS, LATENT).iloc[0] == 0.7
    assert declared.interval(OURS, LATENT).n == 1
    assert DeclaredRows(every).interval(OURS, LATENT).n == 0


def test_seeds_beyond_the_declared_ones_count_and_those_of_the_presets_do_not() -> None:
    more = rows.ours("dsprites_v4", "rendered", [3, 11, 21])
    declared = DeclaredRows(studied((more, latent([0.1, 0.8, 0.6]))))
    assert declared.values(OURS, LATENT).dropna().to_dict() == {11: 0.8, 21: 0.6}


def test_only_finished_runs_of_studies_count() -> None:
    runs = studied((OURS, latent([0.9])))
    for change in ({"stage": "confirm"}, {"status": "RUNNING"}, {"outcome": "failed"}):
        assert DeclaredRows(runs.assign(**change)).seeds(OURS) == 0


def test_differences_pair_the_seeds_of_both_rows() -> None:
    other = rows.with_labels("dsprites_v4", "rendered", 100)
    runs = studied((OURS, latent([0.9, 0.8, 0.7])), (other[1:], latent([0.7, 0.6])))
    difference = DeclaredRows(runs).difference(other, OURS, LATENT)
    assert difference.value == pytest.approx(-0.1)
    assert difference.n == 2


def test_an_accuracy_of_one_run_has_the_interval_of_its_images() -> None:
    runs = studied((OURS, latent([0.99]) | {"oddity": [0.5]}))
    interval = DeclaredRows(runs).accuracy(OURS[0], LATENT)
    assert (interval.low, interval.high) == pytest.approx((0.9455, 0.9982), abs=1e-4)
    unknown = DeclaredRows(runs).accuracy(OURS[0], "oddity")
    assert (unknown.value, np.isnan(unknown.low), unknown.n) == (0.5, True, 1)
    assert DeclaredRows(runs).accuracy(OURS[1], LATENT).n == 0


def test_missing_and_stale_runs_are_distinguished() -> None:
    changed = replace(OURS[1], config=OURS[1].config.with_values({"loss.lambda": 0.9}))
    runs = studied((OURS[:1], latent([0.9])), ((changed,), latent([0.9])))
    missing, stale = select_untrained(runs, OURS[:3])
    assert ([run.config.seed for run in missing], [run.config.seed for run in stale]) == (
        [13],
        [12],
    )
    # The same configuration was trained for a row that lacks this one's scores.
    missing, stale = select_untrained(runs.assign(row="another"), OURS[:1])
    assert (len(missing), len(stale)) == (1, 0)
