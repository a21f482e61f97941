"""Metrics of degenerate arrays, and errors."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from weakdis_core.errors import UserError
from weakdis_core.metrics.dci import fit_importances
from weakdis_core.metrics.mutual_information import mig, modularity
from weakdis_core.metrics.separability import sap

Array = NDArray[Any]
_generator = np.random.default_rng(0)
TRAIN = np.stack([_generator.integers(3, size=200), _generator.integers(4, size=200)], axis=1)
TEST = np.stack([_generator.integers(3, size=100), _generator.integers(4, size=100)], axis=1)


def scores(codes: Array, factors: Array, other_codes: Array, other: Array) -> list[float]:
    """Return all scores in one list."""
    each = fit_importances(codes, factors, other_codes, other).dci()
    return [
        mig(codes, factors),
        modularity(codes, factors),
        sap(codes, factors, other_codes, other),
        each.disentanglement,
        each.completeness,
        each.informativeness,
    ]


def defined(values: list[float]) -> list[bool]:
    assert all(math.isnan(value) or -1e-12 <= value <= 1 for value in values)
    return [not math.isnan(value) for value in values]


SCALES: dict[str, Callable[[Array], Array]] = {
    "constant": lambda f: np.zeros((len(f), 3)),
    "float32 rounding": lambda f: np.float32(1) + f.astype(np.float32) * np.float32(1.2e-7),
    "float64 rounding": lambda f: 1 + f * 2.3e-16,
    "denormal": lambda f: f * 5e-324,
    "far from zero": lambda f: 1e6 + f,
    "huge": lambda f: f * 1e15,
}


@pytest.mark.parametrize("name", SCALES)
def test_scores_are_defined_for_codes_of_any_scale(name: str) -> None:
    represent = SCALES[name]
    found = scores(represent(TRAIN), TRAIN, represent(TEST), TEST)
    assert defined(found) == [True] * 6
    # Bins follow the range, so MIG does not depend on the scale.
    assert found[0] == (0 if name == "constant" else pytest.approx(mig(TRAIN, TRAIN)))


def test_one_code_dimension_has_no_completeness() -> None:
    found = scores(TRAIN[:, :1], TRAIN[:, :1], TEST[:, :1], TEST[:, :1])
    assert found[0] == pytest.approx(1)
    assert defined(found) == [True, False, True, False, False, True]
    found = scores(TRAIN[:, :1], TRAIN, TEST[:, :1], TEST)
    assert defined(found) == [True, True, True, True, False, True]
    found = scores(np.zeros((200, 1)), TRAIN, np.zeros((100, 1)), TEST)
    assert defined(found) == [True, True, True, True, False, True]
    assert found[0] == 0


def test_factor_value_missing_from_train_is_always_wrong() -> None:
    kept = TRAIN[TRAIN[:, 1] != 3]
    found = scores(kept, kept, TEST, TEST)
    assert defined(found) == [True] * 6
    missing = float((TEST[:, 1] == 3).mean())
    assert found[5] == pytest.approx(1 - missing / 2)


def test_factor_value_missing_from_test_does_not_matter() -> None:
    kept = TEST[TEST[:, 0] != 0]
    found = scores(TRAIN, TRAIN, kept, kept)
    assert defined(found) == [True] * 6
    assert found[5] == 1


def test_constant_factor_is_left_out() -> None:
    constant = np.column_stack([TRAIN, np.full(len(TRAIN), 2)])
    other = np.column_stack([TEST, np.full(len(TEST), 2)])
    with_it, without = scores(TRAIN, constant, TEST, other), scores(TRAIN, TRAIN, TEST, TEST)
    # Modularity counts it as a factor without information, as disentanglement_lib does.
    assert with_it[0] == without[0]
    assert with_it[2:] == without[2:]
    assert with_it[1] == pytest.approx(1, abs=1e-3)


def test_scores_without_varying_factors_are_nan() -> None:
    constant, other = np.ones_like(TRAIN), np.ones_like(TEST)
    assert defined(scores(TRAIN, constant, TEST, other)) == [False] * 6
    assert defined(scores(TRAIN[:0], TRAIN[:0], TEST, TEST)) == [False] * 6


def test_scores_on_test_without_test_rows_are_nan() -> None:
    found = scores(TRAIN, TRAIN, TEST[:0], TEST[:0])
    assert defined(found) == [True, True, False, True, True, False]


def test_groups_need_not_be_numbered_from_zero() -> None:
    codes, other = np.column_stack([TRAIN, TRAIN]), np.column_stack([TEST, TEST])
    fitted = fit_importances(codes, TRAIN, other, TEST)
    grouped = fitted.dci([7, -1, 7, -1])
    assert grouped.completeness == pytest.approx(1, abs=1e-6)
    assert math.isnan(fitted.dci(np.zeros(4, int)).completeness)


def test_wrong_arrays_are_errors_that_name_them() -> None:
    with pytest.raises(UserError, match=r"^codes: shape \(200,\) is not allowed"):
        mig(TRAIN[:, 0], TRAIN)
    with pytest.raises(UserError, match=r"^factors: shape \(200, 0\) is not allowed"):
        modularity(TRAIN, TRAIN[:, :0])
    with pytest.raises(UserError, match=r"^factors: 100 rows .* codes has 200"):
        mig(TRAIN, TEST)
    with pytest.raises(UserError, match=r"^test_codes: 1 values are not finite"):
        sap(TRAIN, TRAIN, np.where(np.arange(200).reshape(100, 2) == 5, np.nan, TEST), TEST)
    with pytest.raises(UserError, match=r"^train_factors: float64 values .* use integers"):
        fit_importances(TRAIN, TRAIN + 0.5, TEST, TEST)
    with pytest.raises(UserError, match=r"^test_codes: 1 columns .* train_codes has 2"):
        fit_importances(TRAIN, TRAIN, TEST[:, :1], TEST)
    with pytest.raises(UserError, match=r"^groups: shape \(3,\) .* each of the 2 code"):
        fit_importances(TRAIN, TRAIN, TEST, TEST).dci([0, 0, 1])


def test_whole_floats_and_booleans_are_integers() -> None:
    assert mig(TRAIN, TRAIN.astype(float)) == mig(TRAIN, TRAIN)
    assert mig(TRAIN > 0, TRAIN) == mig((TRAIN > 0).astype(int), TRAIN)
