from itertools import product
from math import prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weakdis_core.data.splits import labelled_by_combination, labelled_subset, split
from weakdis_core.data.variants import VARIANTS, IndexArray
from weakdis_core.errors import UserError

seeds = st.integers(0, 2**32)
sizes = st.lists(st.integers(2, 6), min_size=1, max_size=4).filter(lambda n: prod(n) <= 200)


def spread(factors: IndexArray, n_values: tuple[int, ...]) -> int:
    """Return the largest difference between the counts of two values of a factor."""
    counts = [np.bincount(factors[:, k], minlength=n) for k, n in enumerate(n_values)]
    return max(int(np.ptp(count)) for count in counts)


@given(st.lists(st.integers(0, 50), min_size=1, max_size=300), seeds)
def test_identical_pictures_are_in_the_same_split(digests: list[int], seed: int) -> None:
    pictures = np.array(digests, dtype=np.uint64)
    splits = split(pictures, seed)
    parts = (splits.train, splits.validation, splits.test)
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(digests)))
    seen = [set(pictures[part].tolist()) for part in parts]
    assert not seen[0] & seen[1]
    assert not seen[0] & seen[2]
    assert not seen[1] & seen[2]


@given(st.integers(100, 3000), seeds)
def test_split_sizes_are_80_10_10(n: int, seed: int) -> None:
    splits = split(np.arange(n, dtype=np.uint64), seed)
    for part, share in ((splits.train, 0.8), (splits.validation, 0.1), (splits.test, 0.1)):
        assert abs(len(part) - share * n) <= 1
        assert (np.diff(part) > 0).all()


def test_a_split_depends_only_on_the_seed() -> None:
    digests = np.arange(1000, dtype=np.uint64)
    np.testing.assert_array_equal(split(digests, 3).test, split(digests, 3).test)
    assert not np.array_equal(split(digests, 3).test, split(digests, 4).test)


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
    chosen = labelled_by_combination(factors, train, size, n_values, seed)
    assert len(set(chosen.tolist())) == size
    assert set(chosen.tolist()) <= set(train.tolist())
    shorter = data.draw(st.integers(1, size))
    nested = labelled_by_combination(factors, train, shorter, n_values, seed)
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
        labelled_by_combination(factors, np.arange(90), size, (3,), 0)
