"""The metrics against plain implementations of their definitions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.feature_selection import mutual_info_classif
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, mutual_info_score
from sklearn.svm import LinearSVC

from weakdis_core.data.variants import get_variant
from weakdis_core.metrics.dci import fit_importances
from weakdis_core.metrics.mutual_information import infomec, mig, modularity
from weakdis_core.metrics.separability import sap

Array = NDArray[Any]
N_VALUES = (3, 4, 2)


def information(code: Array, values: Array, bins: int = 20) -> float:
    """Return the mutual information in nats, from the table of joint frequencies."""
    edges = np.histogram(code, bins)[1]
    table = np.zeros((bins + 1, values.max() + 1))
    np.add.at(table, (np.digitize(code, edges[:-1]), values), 1 / len(code))
    apart = table.sum(1, keepdims=True) * table.sum(0)
    seen = table > 0
    return float((table[seen] * np.log(table[seen] / apart[seen])).sum())


def reference_information(codes: Array, factors: Array) -> Array:
    return np.array([[information(code, values) for values in factors.T] for code in codes.T])


def reference_mig(codes: Array, factors: Array) -> float:
    table = np.sort(reference_information(codes, factors), axis=0)
    shares = [np.unique(values, return_counts=True)[1] / len(values) for values in factors.T]
    entropies = np.array([-(share * np.log(share)).sum() for share in shares])
    return float(((table[-1] - table[-2]) / entropies).mean())


def reference_modularity(codes: Array, factors: Array) -> float:
    scores = []
    for row in reference_information(codes, factors):
        best = row.max()
        if best < 1e-12:
            scores.append(0.0)
            continue
        rest = np.delete(row, row.argmax())
        scores.append(1 - (rest**2).sum() / (best**2 * len(rest)))
    return float(np.mean(scores))


def reference_sap(codes: Array, factors: Array, other_codes: Array, other: Array) -> float:
    gaps = []
    for values, other_values in zip(factors.T, other.T, strict=True):
        right = []
        for i in range(codes.shape[1]):
            machine = LinearSVC(C=0.01, class_weight="balanced", dual=True, random_state=0)
            machine.fit(codes[:, [i]], values)
            right.append((machine.predict(other_codes[:, [i]]) == other_values).mean())
        right.sort()
        gaps.append(right[-1] - right[-2])
    return float(np.mean(gaps))


def reference_dci(
    codes: Array, factors: Array, other_codes: Array, other: Array
) -> tuple[float, float, float]:
    columns, right = [], []
    for values, other_values in zip(factors.T, other.T, strict=True):
        model = GradientBoostingClassifier(random_state=3).fit(codes, values)
        columns.append(model.feature_importances_)
        right.append((model.predict(other_codes) == other_values).mean())
    table = np.array(columns).T + 1e-11
    total = table.sum()

    def sharpness(vector: Array) -> float:
        share = vector / vector.sum()
        return float(1 + (share * np.log(share)).sum() / np.log(len(vector)))

    disentanglement = sum(row.sum() / total * sharpness(row) for row in table)
    completeness = sum(column.sum() / total * sharpness(column) for column in table.T)
    return float(disentanglement), float(completeness), float(np.mean(right))


def reference_infomec(codes: Array, factors: Array) -> tuple[float, float, float]:
    """Return InfoMEC of continuous codes, pair by pair."""
    span = codes.max(axis=0) - codes.min(axis=0)
    kept = np.flatnonzero(span > span.max() / 20)
    codes = (codes - codes.mean(axis=0)) / np.maximum(codes.std(axis=0), 1e-9)
    table = np.zeros((factors.shape[1], len(kept)))
    gains = []
    for i, values in enumerate(factors.T):
        for j, column in enumerate(kept):
            (found,) = mutual_info_classif(codes[:, [column]], values, n_neighbors=10)
            table[i, j] = found / mutual_info_score(values, values)
        losses = []
        for inputs in (codes, np.zeros_like(codes)):
            model = LogisticRegression(C=np.inf, class_weight="balanced").fit(inputs, values)
            losses.append(log_loss(values, model.predict_proba(inputs)))
        gains.append(1 - losses[0] / losses[1])

    def scaled(shares: Array, n: int) -> float:
        return float((shares.mean() - 1 / n) / (1 - 1 / n))

    infom = scaled(table.max(axis=0) / table.sum(axis=0), len(table))
    return infom, float(np.mean(gains)), scaled(table.max(axis=1) / table.sum(axis=1), len(kept))


def drawn(rows: int, generator: np.random.Generator) -> NDArray[np.int64]:
    return np.stack([generator.integers(n, size=rows) for n in N_VALUES], axis=1)


REPRESENTATIONS: dict[str, Callable[[Array, np.random.Generator], Array]] = {
    "mixed": lambda f, g: (
        f @ [[1, 0.5, 0, 0.2], [0, 1, 0.3, 0], [0.4, 0, 1, -2]] + 0.2 * g.normal(size=(len(f), 4))
    ),
    "float32": lambda f, g: (f[:, [0, 1, 2, 0]] + 0.4 * g.normal(size=(len(f), 4))).astype(
        np.float32
    ),
    "integers": lambda f, g: np.column_stack([f, f[:, 0] + f[:, 1]]),
    "predictions": lambda f, g: np.where(g.random(f.shape) < 0.2, g.integers(2, size=f.shape), f),
    "one constant": lambda f, g: np.column_stack([f[:, 0] - 5.0, f[:, 1] / 7, np.ones(len(f))]),
}


def represented(name: str, rows: int) -> tuple[Array, Array]:
    generator = np.random.default_rng(rows)
    factors = drawn(rows, generator)
    return REPRESENTATIONS[name](factors, generator), factors


@pytest.mark.parametrize("name", REPRESENTATIONS)
def test_mig_and_modularity_match_the_definitions(name: str) -> None:
    codes, factors = represented(name, 700)
    assert mig(codes, factors) == pytest.approx(reference_mig(codes, factors), abs=1e-9)
    expected = reference_modularity(codes, factors)
    assert modularity(codes, factors) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("name", REPRESENTATIONS)
def test_sap_matches_the_definition(name: str) -> None:
    arrays = *represented(name, 600), *represented(name, 300)
    assert sap(*arrays) == pytest.approx(reference_sap(*arrays), abs=0.01)


@pytest.mark.parametrize("name", ["mixed", "float32"])
def test_infomec_matches_the_definition(name: str) -> None:
    codes, factors = represented(name, 400)
    found = tuple(infomec(codes, factors).values())
    assert found == pytest.approx(reference_infomec(codes, factors), abs=1e-3)


@pytest.mark.parametrize("name", ["mixed", "predictions"])
def test_dci_matches_the_definition(name: str) -> None:
    arrays = *represented(name, 400), *represented(name, 200)
    scores = fit_importances(*arrays).dci()
    found = scores.disentanglement, scores.completeness, scores.informativeness
    assert found == pytest.approx(reference_dci(*arrays), abs=0.02)


def test_merged_equal_rows_give_the_same_importances() -> None:
    codes, factors = represented("predictions", 800)
    together = fit_importances(codes, factors, codes, factors)
    plain = [
        GradientBoostingClassifier(random_state=0).fit(codes, values).feature_importances_
        for values in factors.T
    ]
    np.testing.assert_allclose(together.matrix, plain, atol=1e-9)


def test_dci_does_not_depend_on_threads() -> None:
    codes, factors = represented("float32", 200)
    arrays = codes, factors, codes, factors
    assert fit_importances(*arrays, n_jobs=2).dci() == fit_importances(*arrays).dci()


@pytest.mark.slow
def test_dci_of_converted_codes_in_the_published_protocol() -> None:
    variant = get_variant("dsprites_v4")
    generator = np.random.default_rng(0)
    rows = generator.choice(variant.n_images, 15_000, replace=False)
    factors = variant.values(variant.indices())[rows]
    random = np.stack([generator.integers(n, size=len(rows)) for n in variant.n_values], axis=1)
    predicted = np.where(generator.random(factors.shape) < 0.05, random, factors)
    train, test = slice(10_000), slice(10_000, None)
    arrays = predicted[train], factors[train], predicted[test], factors[test]
    scores = fit_importances(*arrays).dci()
    right = float((predicted[test] == factors[test]).mean())
    assert scores.informativeness == pytest.approx(right, abs=0.005)
    assert 0.97 < scores.disentanglement < 1
    assert 0.97 < scores.completeness < 1
