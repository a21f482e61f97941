"""Values of unlabelled images: confident ones only, aligned with the labels' frequencies."""

from __future__ import annotations

import pytest
import torch

from weakdis_core.priors.prior import Prior
from weakdis_core.training.consistency import Consistency, ramp


def prior() -> Prior:
    """Two components at -2 and 2, as frequent in labels."""
    means = torch.tensor([[[-2.0], [2.0]]])
    return Prior.build(torch.full((1, 2), 0.5).log(), means, torch.ones(1, 2, 1, 1))


def test_only_confident_codes_have_a_target() -> None:
    targets = Consistency(torch.tensor([2])).targets(
        prior(), torch.tensor([[[-2.0]], [[0.1]], [[3.0]]]), 1.0
    )
    assert targets.tolist() == [[0], [-1], [1]]


def test_a_value_that_is_read_too_often_needs_more_confidence() -> None:
    consistency, ambiguous = Consistency(torch.tensor([2])), torch.tensor([[[0.6]]])
    assert consistency.targets(prior(), ambiguous, 1.0).tolist() == [[1]]
    for _ in range(200):
        consistency.targets(prior(), torch.full((8, 1, 1), 2.0), 1.0)
    assert consistency.targets(prior(), ambiguous, 1.0).tolist() != [[1]]


def test_running_means_continue_from_a_checkpoint() -> None:
    first, second = Consistency(torch.tensor([2])), Consistency(torch.tensor([2]))
    first.targets(prior(), torch.full((8, 1, 1), 2.0), 1.0)
    second.load_state_dict(first.state_dict())
    assert all(map(torch.equal, first.state_dict().values(), second.state_dict().values()))


@pytest.mark.parametrize(("fraction", "share"), [(0.0, 0.0), (0.2, 0.5), (0.3, 1.0), (1.0, 1.0)])
def test_the_weight_is_ramped_in(fraction: float, share: float) -> None:
    assert ramp(fraction) == pytest.approx(share)
