"""Running sums of loss terms."""

from __future__ import annotations

import math

import pytest
import torch

from weakdis_core.training.terms import RunningTerms, TrainingDiverged

CPU = torch.device("cpu")


def test_term_is_averaged_over_its_steps() -> None:
    terms = RunningTerms()
    terms.add({"reconstruction": torch.tensor(2.0)})
    terms.add({"reconstruction": torch.tensor(4.0), "kl": torch.tensor(7.0)})
    assert terms.means() == {"train/reconstruction": 3.0, "train/kl": 7.0}


def test_sums_are_reset_after_a_report() -> None:
    terms = RunningTerms()
    terms.add({"kl": torch.tensor(100.0)})
    terms.means()
    terms.add({"kl": torch.tensor(1.0)})
    assert terms.means() == {"train/kl": 1.0}


def test_sums_continue_from_a_checkpoint() -> None:
    terms, other = RunningTerms(), RunningTerms()
    terms.add({"kl": torch.tensor(1.0)})
    other.load_state_dict(terms.state_dict(), CPU)
    for each in (terms, other):
        each.add({"kl": torch.tensor(4.0)})
    assert other.means() == terms.means() == {"train/kl": 2.5}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_one_step_that_is_not_finite_is_an_error(value: float) -> None:
    terms = RunningTerms()
    for loss in (1.0, value, 1.0):
        terms.add({"reconstruction": torch.tensor(1.0), "kl": torch.tensor(loss)})
    with pytest.raises(
        TrainingDiverged, match=r"by step 3 \(train/reconstruction 1, train/kl .*\); run 7$"
    ):
        terms.check(3, "run 7")


def test_finite_losses_are_no_error() -> None:
    terms = RunningTerms()
    terms.add({"kl": torch.tensor(3e38)})
    terms.check(1, "run 7")
