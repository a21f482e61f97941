from itertools import combinations
from math import prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weakdis_core.data.splits import (
    split,
    split_labelled,
)
from weakdis_core.data.variant import UNKNOWN, IndexArray
from weakdis_core.errors import UserError

seeds = st.integers(0, 2**32)
sizes = st.lists(st.integers(2, 6), min_size=1, max_size=4).filter(lambda n: prod(n) <= 200)


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
