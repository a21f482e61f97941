"""Representations whose scores are known without computing them."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from weakdis_core.metrics.dci import DCI, fit_importances
from weakdis_core.metrics.mutual_information import infomec, mig, modularity
from weakdis_core.metrics.separability import sap

Integers = NDArray[np.int64]


def grid(*n_values: int, copies: int = 1) -> Integers:
    """Return every combination of factor values equally often."""
    return np.repeat(np.array(list(product(*map(range, n_values)))), copies, axis=0)


def self_dci(codes: NDArray[np.generic], factors: Integers, groups: object = None) -> DCI:
    """Return DCI with the train rows as test rows."""
    return fit_importances(codes, factors, codes, factors).dci(groups)  # type: ignore[arg-type]


def self_sap(codes: NDArray[np.generic], factors: Integers) -> float:
    return sap(codes, factors, codes, factors)


FACTORS = grid(3, 4, copies=20)


def close(infom: float, infoe: float, infoc: float) -> object:
    """Return what equals these scores; those of continuous codes are estimates."""
    scores = {"infom": infom, "infoe": infoe, "infoc": infoc}
    return pytest.approx(scores, abs=0.03, nan_ok=True)


@pytest.mark.parametrize("kind", ["int64", "float64"])
def test_infomec_of_exact_codes(kind: str) -> None:
    codes: NDArray[Any] = FACTORS.astype(kind)
    assert infomec(codes, FACTORS) == close(1, 1, 1)
    assert infomec(codes[:, ::-1] * 5 + 2, FACTORS) == close(1, 1, 1)
    # Each of two copies has half of the information: (1/2 - 1/4) / (1 - 1/4).
    assert infomec(np.column_stack([codes, codes]), FACTORS) == close(1, 1, 1 / 3)
    assert infomec(codes[:, :1], FACTORS) == close(1, 0.5, math.nan)
    constant = np.full_like(codes, 7)
    assert infomec(constant, FACTORS) == close(math.nan, 0, math.nan)
    assert infomec(np.column_stack([codes, constant]), FACTORS) == close(1, 1, 1)


def test_infomec_of_rotated_codes_and_of_codes_with_a_faint_dimension() -> None:
    factors = grid(5, 5, copies=20)
    codes = np.column_stack([factors.sum(1), factors[:, 0] - factors[:, 1]]) / math.sqrt(2)
    # A line separates the values of a factor in rotated codes too.
    assert infomec(codes, factors) == close(0, 1, 0)
    for width, infoc in ((0.04, 1), (0.06, 1 / 4)):
        faint = np.column_stack([factors * 1.0, factors[:, 0] * width])
        assert infomec(faint, factors)["infoc"] == pytest.approx((infoc + 1) / 2, abs=0.03)


def test_infomec_of_noise_and_without_factors() -> None:
    generator = np.random.default_rng(0)
    factors = generator.integers(3, size=(900, 2))
    assert infomec(generator.normal(size=(900, 3)), factors)["infoe"] == pytest.approx(0, abs=0.01)
    # InfoM and InfoC are ratios, so their estimates from noise are arbitrary. Exact zeros give 0.
    independent = grid(2, 3, 2, 3, copies=5)
    assert infomec(independent[:, :2], independent[:, 2:]) == close(0, 0, 0)
    assert infomec(FACTORS, np.ones_like(FACTORS)) == close(math.nan, math.nan, math.nan)


@pytest.mark.parametrize("columns", [[0, 1], [1, 0]], ids=["perfect", "permuted"])
def test_perfect_codes_score_one_in_any_order(columns: list[int]) -> None:
    codes = FACTORS[:, columns]
    assert mig(codes, FACTORS) == pytest.approx(1, abs=1e-12)
    assert modularity(codes, FACTORS) == pytest.approx(1, abs=1e-12)
    scores = self_dci(codes, FACTORS)
    assert scores.disentanglement == pytest.approx(1, abs=1e-6)
    assert scores.completeness == pytest.approx(1, abs=1e-6)
    assert scores.informativeness == 1


def test_perfect_binary_codes_have_half_a_sap_in_any_order() -> None:
    factors = grid(2, 2, 2, copies=10)
    assert self_sap(factors, factors) == 0.5
    assert self_sap(factors[:, [2, 0, 1]], factors) == 0.5
    assert self_sap(FACTORS[:, ::-1], FACTORS) == self_sap(FACTORS, FACTORS)


def test_rotated_codes_have_low_scores() -> None:
    factors = grid(5, 5, copies=8)
    codes = np.column_stack([factors.sum(1), factors[:, 0] - factors[:, 1]]) / math.sqrt(2)
    assert mig(codes, factors) == pytest.approx(0, abs=1e-12)
    assert modularity(codes, factors) == pytest.approx(0, abs=1e-12)
    assert self_sap(codes, factors) < 0.1
    scores = self_dci(codes, factors)
    assert scores.disentanglement < 0.2
    assert scores.completeness < 0.2
    assert scores.informativeness > 0.9


def test_duplicated_codes_are_disentangled_but_not_complete() -> None:
    codes = np.column_stack([FACTORS, FACTORS])
    assert mig(codes, FACTORS) == 0
    assert modularity(codes, FACTORS) == pytest.approx(1, abs=1e-12)
    assert self_sap(codes, FACTORS) == 0
    scores = self_dci(codes, FACTORS)
    assert scores.disentanglement == pytest.approx(1, abs=1e-6)
    # Half of the importance in each of two out of four dimensions is 1 - log 2 / log 4.
    assert scores.completeness == pytest.approx(0.5, abs=0.05)
    assert self_dci(codes, FACTORS, [0, 1, 0, 1]).completeness == pytest.approx(1, abs=1e-6)


def test_noise_has_low_scores() -> None:
    generator = np.random.default_rng(0)
    factors = generator.integers(3, size=(900, 2))
    codes = generator.normal(size=(900, 3))
    train, test = slice(500), slice(500, None)
    assert mig(codes, factors) < 0.01
    arrays = codes[train], factors[train], codes[test], factors[test]
    assert sap(*arrays) < 0.05
    scores = fit_importances(*arrays).dci()
    assert scores.disentanglement < 0.05
    assert scores.completeness < 0.05
    assert scores.informativeness == pytest.approx(1 / 3, abs=0.06)


def test_constant_codes_score_zero() -> None:
    codes = np.full((len(FACTORS), 3), 7.5)
    assert mig(codes, FACTORS) == 0
    assert modularity(codes, FACTORS) == 0
    assert self_sap(codes, FACTORS) == 0
    scores = self_dci(codes, FACTORS)
    assert scores.disentanglement == pytest.approx(0, abs=1e-12)
    assert scores.completeness == pytest.approx(0, abs=1e-12)
    assert scores.informativeness == pytest.approx((1 / 3 + 1 / 4) / 2)


def test_one_hot_codes_are_complete_by_partition_only() -> None:
    codes = np.column_stack([np.eye(3)[FACTORS[:, 0]], np.eye(4)[FACTORS[:, 1]]])
    assert mig(codes, FACTORS) == pytest.approx(0, abs=1e-12)
    assert modularity(codes, FACTORS) == pytest.approx(1, abs=1e-12)
    scores = self_dci(codes, FACTORS)
    assert scores.disentanglement == pytest.approx(1, abs=1e-6)
    assert scores.completeness < 0.6
    by_partition = self_dci(codes, FACTORS, [0, 0, 0, 1, 1, 1, 1])
    assert by_partition.completeness == pytest.approx(1, abs=1e-6)
    assert by_partition.informativeness == scores.informativeness == 1


def test_predictions_with_one_error_in_ten() -> None:
    factors = grid(2, 2, 10, copies=2)[:, :2]
    predictions = factors.copy()
    predictions[::20] = 1 - predictions[::20]
    predictions[1::20] = 1 - predictions[1::20]
    error = -(0.9 * math.log(0.9) + 0.1 * math.log(0.1))
    assert mig(predictions, factors) == pytest.approx(1 - error / math.log(2), abs=1e-12)
    assert self_sap(predictions, factors) == pytest.approx(0.4)
    scores = self_dci(predictions, factors)
    assert scores.informativeness == pytest.approx(0.9)
    assert scores.disentanglement == pytest.approx(1, abs=1e-6)


def test_one_code_of_two_factors_is_complete_but_not_disentangled() -> None:
    codes = np.column_stack([4 * FACTORS[:, 0] + FACTORS[:, 1], np.zeros(len(FACTORS), int)])
    assert mig(codes, FACTORS) == pytest.approx(1, abs=1e-12)
    best = 1 - (math.log(3) / math.log(4)) ** 2
    assert modularity(codes, FACTORS) == pytest.approx(best / 2, abs=1e-12)
    scores = self_dci(codes, FACTORS)
    assert scores.disentanglement == pytest.approx(0, abs=1e-6)
    assert scores.completeness == pytest.approx(1, abs=1e-6)
    assert scores.informativeness == 1
