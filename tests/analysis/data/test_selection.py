"""Selection of the runs that are averaged into a row."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from analysis.data.runs import read_runs
from analysis.data.selection import (
    CONFIRMED,
    TableRow,
    count_unconfirmed,
    select_confirm_runs,
    select_confirmed,
)
from tests.analysis.tracked import Store, scores

LATENT = {"latent": "test/relation_accuracy_latent"}


def confirm(store: Store, latent: float, **how: object) -> None:
    store.trial(stage="confirm", metrics=scores(latent), **how)  # type: ignore[arg-type]


def the_row(store: Store) -> dict[str, object]:
    (seeds,) = select_confirmed(read_runs(store.uri))
    return TableRow(CONFIRMED, seeds, 5).summarize(LATENT)


def test_only_finished_confirm_runs_count(store: Store) -> None:
    confirm(store, 0.9)
    confirm(store, 0.1, seed=1, status="KILLED")
    confirm(store, 0.1, seed=2, status="FAILED")
    confirm(store, 0.1, seed=3, status="RUNNING")
    store.trial(seed=4, metrics=scores(0.1))
    store.trial(seed=5, stage="confirm", metrics={"val/relation_accuracy_pixels": 0.9})
    assert the_row(store)["seeds"] == 1


def test_a_row_is_one_configuration_chosen_on_validation(store: Store) -> None:
    for config, latent, validation in (("lucky", 0.99, 0.80), ("chosen", 0.90, 0.95)):
        metrics = scores(latent, pixels=latent, validation=validation)
        store.trial(config=config, stage="confirm", metrics=metrics)
    row = the_row(store)
    assert (row["config_hash"], row["latent"]) == ("chosen", 0.9)


def test_the_configuration_with_more_seeds_comes_first(store: Store) -> None:
    for seed in (1, 2):
        confirm(store, 0.8, config="twice", seed=seed)
    store.trial(config="once", stage="confirm", metrics=scores(0.9, validation=0.99))
    assert the_row(store)["config_hash"] == "twice"


def test_versions_of_scikit_learn_are_not_averaged(store: Store) -> None:
    confirm(store, 0.1, seed=0, sklearn="1.8.0")
    for seed in (0, 1):
        confirm(store, 0.9, seed=seed, sklearn="1.9.1")
    row = the_row(store)
    assert (row["sklearn"], row["seeds"], row["latent"]) == ("1.9.1", 2, 0.9)


def test_versions_of_the_core_are_not_averaged_and_the_newest_is_shown(store: Store) -> None:
    for seed in (0, 1, 2):
        confirm(store, 0.1, seed=seed, core=None)
    confirm(store, 0.1, seed=3, core=1)
    for seed in (0, 1):
        confirm(store, 0.9, seed=seed, core=2)
    row = the_row(store)
    assert (row["core"], row["seeds"], row["latent"]) == (2, 2, 0.9)


def test_runs_without_version_tag_are_of_the_first_version(store: Store) -> None:
    confirm(store, 0.8, seed=0, core=None)
    confirm(store, 0.9, seed=1, core=1)
    assert the_row(store)["seeds"] == 2


def test_data_sources_have_separate_rows(store: Store) -> None:
    confirm(store, 0.9)
    confirm(store, 0.5, source="official")
    found = {
        seeds["source"].iloc[0]: len(seeds) for seeds in select_confirmed(read_runs(store.uri))
    }
    assert found == {"rendered": 1, "official": 1}


def test_repeated_seed_counts_once_with_its_latest_run(store: Store) -> None:
    confirm(store, 0.5, seed=1, start=1000)
    confirm(store, 0.9, seed=1, start=2000)
    row = the_row(store)
    assert (row["seeds"], row["latent"]) == (1, 0.9)


@pytest.mark.parametrize(
    ("setting", "counts"),
    [
        ({"model__kind": "modular"}, 1),
        ({"model__kind": "monolithic"}, 0),
        ({"data__shuffle_labels": "False"}, 1),
        ({"data__shuffle_labels": "True"}, 0),
    ],
)
def test_baselines_and_controls_are_not_ours(
    setting: dict[str, str], counts: int, store: Store
) -> None:
    confirm(store, 0.9, **setting)
    # Read beside a run that is older than the setting.
    confirm(store, 0.9, seed=1, source="official")
    found = select_confirm_runs(read_runs(store.uri))
    assert found["source"].eq("rendered").sum() == counts


def test_search_results_without_a_row_are_counted(store: Store) -> None:
    for seed in (0, 1):
        store.trial("dsprites_v2", seed=seed, metrics=scores(0.9))
    store.trial("dsprites_v3", metrics=scores(0.9))
    confirm(store, 0.9, variant="dsprites_v3")
    variants = ["dsprites_v2", "dsprites_v3", "dsprites_v4"]
    found = count_unconfirmed(read_runs(store.uri), variants)
    assert found == {"dsprites_v2": 2, "dsprites_v4": 0}


def test_no_runs_give_no_rows(store: Store) -> None:
    runs = read_runs(store.uri)
    assert list(select_confirmed(runs)) == []
    assert count_unconfirmed(runs, ["dsprites_v2"]) == {"dsprites_v2": 0}


def test_metric_without_runs_is_nan(store: Store) -> None:
    confirm(store, 0.9)
    (seeds,) = select_confirmed(read_runs(store.uri))
    row = TableRow(CONFIRMED, seeds, 5).summarize({"mig": "test/mig_raw"})
    assert math.isnan(row["mig"])
    assert row["mig_seeds"] == 0
    assert pd.isna(row["mig_low"])
