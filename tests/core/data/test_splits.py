from itertools import combinations, product
from math import prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weakdis_core.data.splits import (
    labelled_by_combination,
    labelled_subset,
    split,
    split_labelled,
)
from weakdis_core.data.variant import UNKNOWN, IndexArray
from weakdis_core.data.variants import VARIANTS
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


partly = st.integers(1, 3).flatmap(
    lambda k: st.lists(st.tuples(*[st.integers(-1, 3)] * k), min_size=30, max_size=120)
)


def values_in(factors: IndexArray) -> set[tuple[int, int]]:
    """Return the pairs of factor and known value."""
    return {(k, value) for row in factors.tolist() for k, value in enumerate(row) if value >= 0}


@settings(deadline=None)
@given(partly, seeds, st.data())
def test_units_never_straddle_and_train_shows_every_value(
    rows: list[tuple[int, ...]], seed: int, data: st.DataObject
) -> None:
    factors = np.array(rows, dtype=np.int64)
    n = len(factors)
    column = st.lists(st.integers(0, 3 * n), min_size=n, max_size=n)
    digests = np.array(data.draw(column), dtype=np.uint64)
    groups = data.draw(st.none() | column.map(np.array))
    try:
        splits = split_labelled(digests, factors, seed, groups)
    except UserError:
        # There are too few units to share out.
        return
    parts = (splits.train, splits.validation, splits.test)
    together = np.concatenate(parts)
    assert len(set(together.tolist())) == len(together)
    for keys in (digests, digests if groups is None else groups):
        for first, second in combinations(parts, 2):
            assert not set(keys[first].tolist()) & set(keys[second].tolist())
    labelled = np.asarray((factors >= 0).any(axis=1))
    assert labelled[np.concatenate(parts[1:])].all()
    assert set(np.flatnonzero(labelled).tolist()) <= set(together.tolist())
    assert values_in(factors[splits.train]) == values_in(factors)


@pytest.mark.parametrize(("n", "shares"), [(5000, (0.6, 0.2, 0.2)), (5010, (0.8, 0.1, 0.1))])
def test_labelled_pictures_are_shared_out_and_the_others_train(
    n: int, shares: tuple[float, ...]
) -> None:
    factors = np.full((2 * n, 2), UNKNOWN)
    factors[::2, 0] = np.arange(n) % 4
    splits = split_labelled(np.arange(2 * n, dtype=np.uint64), factors, 0)
    labelled = [np.count_nonzero(part % 2 == 0) for part in vars(splits).values()]
    np.testing.assert_allclose(labelled, np.multiply(shares, n), atol=1)
    assert np.count_nonzero(splits.train % 2) == n


def test_a_rare_value_moves_into_train_with_its_group() -> None:
    factors = np.zeros((400, 1), dtype=np.int64)
    groups = np.repeat(np.arange(100), 4)
    # Value 1 is in 2 pictures of group 7, with an unlabelled one of it, and in group 8 of 14.
    factors[[28, 29, 33]] = 1
    factors[30] = UNKNOWN
    groups[300:310] = 8
    for seed in range(10):
        splits = split_labelled(np.arange(400, dtype=np.uint64), factors, seed, groups)
        places = [set(groups[part]) & {7, 8} for part in vars(splits).values()]
        assert places[0]
        # The unlabelled picture trains with its group, or is left out.
        assert (30 in splits.train) == (7 in places[0])


def test_given_splits_override_chance_but_not_groups() -> None:
    factors = np.arange(100)[:, None] % 5
    digests = np.arange(100, dtype=np.uint64)
    wanted = np.full(100, UNKNOWN)
    wanted[:10], wanted[10:20], wanted[20:30] = 0, 1, 2
    splits = split_labelled(digests, factors, 0, given=wanted)
    for which, part in enumerate(vars(splits).values()):
        assert set(range(10 * which, 10 * which + 10)) <= set(part.tolist())
    # Value 4 stays where it was put; value 3, which chance put beside it, moves.
    wanted[:] = np.where(np.arange(100) % 5 == 4, 2, 1)
    wanted[[3, 8]] = UNKNOWN
    wanted[[0, 1, 2]] = 0
    for seed in range(5):
        splits = split_labelled(digests, factors, seed, given=wanted)
        assert values_in(factors[splits.train]) == {(0, value) for value in range(4)}
    with pytest.raises(UserError, match=r"are not allowed in two splits: 1 of "):
        split_labelled(np.minimum(digests, 98), factors, 0, given=np.arange(100) // 99)


def test_too_few_labels_or_groups_to_split_are_an_error() -> None:
    factors = np.zeros((50, 1), dtype=np.int64)
    with pytest.raises(UserError, match=r"50 labelled .* are in 2 groups .* test need some each"):
        split_labelled(np.arange(50, dtype=np.uint64), factors, 0, np.arange(50) // 25)
    factors[2:] = UNKNOWN
    with pytest.raises(UserError, match=r"labels: 2 labelled pictures are not enough"):
        split_labelled(np.arange(50, dtype=np.uint64), factors, 0)


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
    chosen = labelled_by_combination(factors, np.arange(24), 0, (3, 2), 0)
    assert sorted(chosen.tolist()) == [row for row in range(24) if row % 4]
