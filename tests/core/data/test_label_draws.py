"""Draws of the labelled subset."""

from itertools import product
from math import prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weakdis_core.config.config import Config
from weakdis_core.data.labelled import draw_of, labelled_subset
from weakdis_core.data.splits import split
from weakdis_core.data.variant import UNKNOWN, IndexArray
from weakdis_core.data.variants import VARIANTS
from weakdis_core.errors import UserError

seeds = st.integers(0, 2**32)
sizes = st.lists(st.integers(2, 6), min_size=1, max_size=4).filter(lambda n: prod(n) <= 200)


def spread(factors: IndexArray, n_values: tuple[int, ...]) -> int:
    """Return the largest difference between the counts of two values of a factor."""
    counts = [np.bincount(factors[:, k], minlength=n) for k, n in enumerate(n_values)]
    return max(int(np.ptp(count)) for count in counts)


@settings(deadline=None, max_examples=60)
@given(sizes, st.integers(1, 4), seeds, st.data())
def test_smaller_labelled_subsets_are_prefixes(
    n_values: list[int], copies: int, seed: int, data: st.DataObject
) -> None:
    grid = np.array(list(product(*(range(n) for n in n_values))), dtype=np.int64)
    factors = np.repeat(grid, copies, axis=0)
    shuffled = np.random.default_rng(seed).permutation(len(factors))
    train = np.sort(shuffled[: max(len(factors) * 4 // 5, max(n_values))])
    size = data.draw(st.integers(max(n_values), len(train)))
    chosen = labelled_subset(factors, train, size, n_values, seed)
    assert len(set(chosen.tolist())) == size
    assert set(chosen.tolist()) <= set(train.tolist())
    shorter = data.draw(st.integers(max(n_values), size))
    np.testing.assert_array_equal(
        labelled_subset(factors, train, shorter, n_values, seed), chosen[:shorter]
    )


@settings(deadline=None, max_examples=60)
@given(sizes, seeds)
def test_every_prefix_is_balanced(n_values: list[int], seed: int) -> None:
    grid = np.array(list(product(*(range(n) for n in n_values))), dtype=np.int64)
    factors = np.repeat(grid, 20, axis=0)
    size = max(max(n_values), len(grid))
    chosen = labelled_subset(factors, np.arange(len(factors)), size, n_values, seed)
    for length in range(1, size + 1):
        assert spread(factors[chosen[:length]], tuple(n_values)) <= 1


@pytest.mark.parametrize("name", VARIANTS)
def test_labelled_subsets_of_the_variants_are_balanced(name: str) -> None:
    variant = VARIANTS[name]
    indices = variant.indices()
    generator = np.random.default_rng(0)
    if len(indices) > 50_000:
        indices = indices[generator.choice(len(indices), 50_000, replace=False)]
    factors = variant.values(indices)
    splits = split(np.arange(len(factors), dtype=np.uint64), 0)
    chosen = labelled_subset(factors, splits.train, 1000, variant.n_values, 0)
    for size in (max(variant.n_values), 30, 100, 300, 1000):
        assert spread(factors[chosen[:size]], variant.n_values) <= 1
    combinations = len(np.unique(factors[chosen], axis=0))
    assert combinations >= 0.8 * min(1000, variant.n_combinations)


def test_values_are_balanced_when_combinations_are_missing() -> None:
    # Only combinations on two diagonals exist, so most targets do not.
    n = 6
    values = [(i, (i + shift) % n) for i in range(n) for shift in (0, 1)]
    factors = np.repeat(np.array(values, dtype=np.int64), 3, axis=0)
    chosen = labelled_subset(factors, np.arange(len(factors)), 24, (n, n), 0)
    assert spread(factors[chosen], (n, n)) <= 1


@pytest.mark.parametrize("size", [2, 91])
def test_impossible_sizes_are_refused(size: int) -> None:
    factors = np.repeat(np.arange(3)[:, None], 30, axis=0)
    with pytest.raises(UserError, match=f"labels: {size} is not allowed.*at least 3.*at most 90"):
        labelled_subset(factors, np.arange(90), size, (3,), 0)


@settings(deadline=None, max_examples=60)
@given(sizes, seeds, st.data())
def test_combinations_repeat_only_when_all_are_used(
    n_values: list[int], seed: int, data: st.DataObject
) -> None:
    grid = np.array(list(product(*(range(n) for n in n_values))), dtype=np.int64)
    factors = np.repeat(grid, 3, axis=0)
    shuffled = np.random.default_rng(seed).permutation(len(factors))
    train = np.sort(shuffled[: len(factors) * 4 // 5])
    size = data.draw(st.integers(1, len(train)))
    chosen = labelled_subset(factors, train, size, n_values, seed, "combination")
    assert len(set(chosen.tolist())) == size
    assert set(chosen.tolist()) <= set(train.tolist())
    shorter = data.draw(st.integers(1, size))
    nested = labelled_subset(factors, train, shorter, n_values, seed, "combination")
    np.testing.assert_array_equal(nested, chosen[:shorter])
    # No combination repeats while another has an image left.
    flat = np.ravel_multi_index(tuple(factors.T), tuple(n_values))
    drawn = np.bincount(flat[chosen], minlength=len(grid))
    left = np.bincount(flat[train], minlength=len(grid)) - drawn
    assert drawn.max() <= drawn[left > 0].min(initial=drawn.max()) + 1


@pytest.mark.parametrize("size", [-1, 91])
def test_impossible_sizes_by_combination_are_refused(size: int) -> None:
    factors = np.repeat(np.arange(3)[:, None], 30, axis=0)
    with pytest.raises(UserError, match=f"labels: {size} is not allowed.*from 1 to 90"):
        labelled_subset(factors, np.arange(90), size, (3,), 0, "combination")


def test_a_labelled_subset_of_partly_labelled_pictures() -> None:
    generator = np.random.default_rng(0)
    # With 40 factors the combinations have no number of 64 bits.
    factors = generator.integers(2, size=(600, 40))
    factors[generator.random(factors.shape) < 0.3] = UNKNOWN
    factors[::3] = UNKNOWN
    train = np.arange(500)
    labelled = {row for row in range(500) if row % 3}
    n_values = (2,) * 40
    every = labelled_subset(factors, train, 0, n_values, 0)
    assert set(every.tolist()) == labelled
    some = labelled_subset(factors, train, 100, n_values, 0)
    assert len(set(some.tolist()) & labelled) == 100
    np.testing.assert_array_equal(labelled_subset(factors, train, 30, n_values, 0), some[:30])
    counts = np.array([np.bincount(column[column >= 0]) for column in factors[some].T])
    assert np.abs(counts[:, 0] - counts[:, 1]).mean() < 10
    with pytest.raises(UserError, match=f"334 is not allowed.* has at most {len(labelled)} "):
        labelled_subset(factors, train, 334, n_values, 0)


def test_subsets_by_combination_have_fully_labelled_pictures_only() -> None:
    factors = np.array(list(product(range(3), range(2)))).repeat(4, axis=0)
    factors[::4, 0] = UNKNOWN
    chosen = labelled_subset(factors, np.arange(24), 0, (3, 2), 0, "combination")
    assert sorted(chosen.tolist()) == [row for row in range(24) if row % 4]


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 200), st.integers(1, 200), seeds)
def test_random_draws_are_nested_and_look_at_no_value(size: int, shorter: int, seed: int) -> None:
    factors = np.random.default_rng(seed).integers(-1, 3, (400, 2))
    train = np.arange(400)[::2]
    shorter = min(shorter, size)
    allowed = train[(factors[train] != UNKNOWN).any(axis=1)]
    size = min(size, len(allowed))
    chosen = labelled_subset(factors, train, size, (3, 3), seed, "random")
    assert len(set(chosen.tolist())) == size
    assert set(chosen.tolist()) <= set(allowed.tolist())
    nested = labelled_subset(factors, train, min(shorter, size), (3, 3), seed, "random")
    np.testing.assert_array_equal(nested, chosen[: len(nested)])
    other = np.where(factors == UNKNOWN, UNKNOWN, 2 - factors)
    again = labelled_subset(other, train, size, (3, 3), seed, "random")
    np.testing.assert_array_equal(again, chosen)


def test_a_random_draw_is_uniform() -> None:
    # 2,000 draws of 10 of 40 images: each is drawn 500 times, +- 19 (one standard deviation).
    factors = np.zeros((40, 1), dtype=np.int64)
    drawn = [
        labelled_subset(factors, np.arange(40), 10, (2,), seed, "random") for seed in range(2000)
    ]
    counts = np.bincount(np.concatenate(drawn), minlength=40)
    assert np.abs(counts - 500).max() < 5 * 19


def test_the_even_draw_of_the_monolithic_model_is_one_of_combinations() -> None:
    changes = {"even": {}, "random": {"data.label_draw": "random"}}
    modular = {name: draw_of(Config().with_values(values)) for name, values in changes.items()}
    assert modular == {"even": "even", "random": "random"}
    single = {"model.kind": "monolithic"}
    draws = [draw_of(Config().with_values(values | single)) for values in changes.values()]
    assert draws == ["combination", "random"]
