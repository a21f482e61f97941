"""Images worth labelling: typical of many, chosen without a label."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.conftest import bars_config, small_config
from weakdis_core.data.prepared import Prepared
from weakdis_core.data.splits import splits_of
from weakdis_core.data.variant import UNKNOWN
from weakdis_core.training import choice
from weakdis_core.training.choice import greedy_medoids, label_images


def test_the_first_choice_is_the_medoid_and_the_next_ones_are_in_other_clusters() -> None:
    generator = np.random.default_rng(0)
    centres = np.array([[0, 0], [20, 0], [0, 30]], np.float32)
    codes = np.concatenate(
        [centre + generator.normal(size=(40, 2)) for centre in centres], dtype=np.float32
    )
    chosen = greedy_medoids(codes, 3)
    distances = np.linalg.norm(codes[:, None] - codes, axis=2)
    assert chosen[0] == distances.sum(1).argmin()
    assert sorted(chosen // 40) == [0, 1, 2]
    np.testing.assert_array_equal(greedy_medoids(codes, 2), chosen[:2])


def test_equal_codes_are_chosen_once_each() -> None:
    chosen = greedy_medoids(np.zeros((5, 2), np.float32), 5)
    assert sorted(chosen.tolist()) == [0, 1, 2, 3, 4]


def test_the_choice_reads_no_label_and_depends_on_the_data_seed(
    sprites: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choice, "STEPS", 5)
    config = small_config("dsprites_v2").with_values({"data.label_draw": "chosen"})
    train = splits_of(sprites, 0).train
    chosen = label_images(config, sprites, train)
    assert len(set(chosen.tolist())) == 60
    assert set(chosen.tolist()) <= set(train.tolist())
    generator = np.random.default_rng(0)
    poisoned = replace(sprites, factors=generator.permutation(sprites.factors))
    again = config.with_values({"seed": 7})
    np.testing.assert_array_equal(label_images(again, poisoned, train), chosen)
    other = config.with_values({"data.data_seed": 1})
    assert set(label_images(other, sprites, train).tolist()) != set(chosen.tolist())
    fewer = config.with_values({"data.labels": 20})
    np.testing.assert_array_equal(label_images(fewer, sprites, train), chosen[:20])


def test_only_labelled_pictures_of_own_data_are_chosen_for_training(
    bars: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choice, "STEPS", 5)
    config = bars_config(**{"data.label_draw": "chosen", "data.labels": 30})
    chosen = label_images(config, bars, splits_of(bars, 0).train)
    assert (bars.factors[chosen] != UNKNOWN).any(axis=1).all()
    every = label_images(config.with_values({"data.labels": 0}), bars, splits_of(bars, 0).train)
    np.testing.assert_array_equal(every[:30], chosen)


@given(st.integers(0, 999), st.integers(1, 20))
def test_a_choice_is_nearer_to_all_codes_than_a_random_one(seed: int, n: int) -> None:
    generator = np.random.default_rng(seed)
    codes = generator.normal(size=(60, 3)).astype(np.float32)
    distances = np.linalg.norm(codes[:, None] - codes, axis=2)

    def sum_of(chosen: np.ndarray) -> float:
        return float(distances[:, chosen].min(axis=1).sum())

    drawn = [sum_of(generator.choice(60, n, replace=False)) for _ in range(10)]
    assert sum_of(greedy_medoids(codes, n)) <= np.mean(drawn) + 1e-3
