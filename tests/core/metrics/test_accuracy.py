"""Accuracies: known answers, and NaN without rows."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score

from weakdis_core.metrics.accuracy import (
    balanced_accuracy,
    factor_accuracy,
    majority_accuracy,
    relation_accuracy,
)


def test_factor_accuracy_is_joint_and_per_factor() -> None:
    true = np.array([[0, 1], [1, 1], [2, 0], [0, 0]])
    predicted = np.array([[0, 1], [1, 0], [2, 0], [1, 1]])
    joint, single = factor_accuracy(predicted, true)
    assert joint == 0.5
    assert single.tolist() == [0.75, 0.5]


def test_relation_accuracy_needs_every_partition_right() -> None:
    target = np.array([[1, 0], [1, 0], [1, 0], [1, 0]])
    predicted = np.array([[1, 0], [1, 1], [0, 0], [1, 0]])
    accuracy = relation_accuracy(predicted, target, [0, 0, 0, 1], affected=[0, 1, 1])
    assert accuracy.all == 0.5
    assert accuracy.affected == 0.75
    assert accuracy.per_relation[:2].tolist() == [1 / 3, 1.0]
    assert math.isnan(accuracy.per_relation[2])


def test_relation_accuracy_judges_accepted_rows_only() -> None:
    target = np.array([[1, 0], [1, 0]])
    predicted = np.array([[1, 0], [0, 0]])
    some = relation_accuracy(predicted, target, [0, 0], [0], accepted=[True, False])
    assert (some.all, some.accepted) == (1.0, 0.5)
    none = relation_accuracy(predicted, target, [0, 0], [0], accepted=[False, False])
    assert math.isnan(none.all)
    assert none.accepted == 0.0


def test_accuracies_without_rows_are_nan() -> None:
    empty = np.zeros((0, 3), int)
    assert math.isnan(factor_accuracy(empty, empty)[0])
    assert math.isnan(relation_accuracy(empty, empty, np.zeros(0, int), [0]).all)


def test_accuracies_of_partly_unknown_values_are_over_the_known_ones() -> None:
    true = np.array([[0, 1], [-1, 1], [2, -1], [0, 0], [-1, -1]])
    predicted = np.array([[0, 0], [1, 1], [2, 1], [0, 0], [0, 0]])
    joint, single = factor_accuracy(predicted, true)
    # Both values of the first and the fourth row are known.
    assert joint == 0.5
    assert single.tolist() == [1.0, 2 / 3]
    joint, single = factor_accuracy(predicted[1:3], true[1:3])
    assert math.isnan(joint)
    assert single.tolist() == [1.0, 1.0]


def test_balanced_and_majority_accuracy_of_known_values() -> None:
    generator = np.random.default_rng(0)
    true = generator.choice(4, 200, p=[0.7, 0.1, 0.1, 0.1])
    predicted = np.where(generator.random(200) < 0.8, true, 0)
    expected = balanced_accuracy_score(true, predicted)
    unknown = np.full(50, -1)
    found = balanced_accuracy(np.append(predicted, unknown + 1), np.append(true, unknown))
    assert found == pytest.approx(expected)
    share = np.mean(true == 0)
    assert majority_accuracy(np.append(true, unknown)) == pytest.approx(share)
    assert balanced_accuracy(np.zeros(200), true) == 0.25
    assert math.isnan(balanced_accuracy(unknown, unknown))
    assert math.isnan(majority_accuracy(unknown))
