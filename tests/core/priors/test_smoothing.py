"""Smooth means of ordered factor values: known answers."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from weakdis_core.config.config import Config
from weakdis_core.config.description import Kind
from weakdis_core.priors.coding import Coding
from weakdis_core.priors.fitting import LabelledCodes
from weakdis_core.priors.smoothing import roughness, smooth
from weakdis_core.relations import RelationTable


def smoothed(kind: Kind, counts: list[float], means: Tensor, strength: float = 1) -> Tensor:
    """Smooth the means `(values, latent)` of one factor."""
    penalty = strength * roughness([kind], [len(counts)])
    return smooth(torch.tensor([counts]), means.unsqueeze(0), penalty)[0][0]


def line(n: int) -> Tensor:
    return torch.stack([torch.arange(n) * 2.0 + 1, torch.arange(n) * -0.5], 1)


def test_a_line_stays_and_its_missing_values_are_on_it() -> None:
    counts = [3.0, 0.0, 1.0, 2.0, 0.0]
    given_means = line(5) * (torch.tensor(counts) > 0).unsqueeze(1)
    # First differences, which are needed for a single label, have a small share.
    torch.testing.assert_close(smoothed("ordinal", counts, given_means), line(5), atol=0.02, rtol=0)


def test_a_missing_value_of_a_circle_is_near_the_circle() -> None:
    n = 10
    angle = torch.arange(n) * 2 * math.pi / n
    circle = torch.stack([angle.cos(), angle.sin()], 1)
    counts = [100.0] * n
    counts[0] = counts[4] = 0.0
    held = circle * (torch.tensor(counts) > 0).unsqueeze(1)
    found = smoothed("circular", counts, held)
    assert (found - circle).norm(dim=1).max() < 0.15
    # The first value is a neighbour of the last one; along a line it would be extrapolated.
    assert (smoothed("ordinal", counts, held)[0] - circle[0]).norm() > 0.2


def test_a_single_label_gives_every_value_its_mean() -> None:
    means = torch.zeros(4, 2)
    means[2] = torch.tensor([3.0, -1.0])
    for kind in ("ordinal", "circular"):
        found = smoothed(kind, [0.0, 0.0, 1.0, 0.0], means)
        torch.testing.assert_close(found, means[2].expand(4, 2), atol=1e-3, rtol=0)


def test_categorical_means_stay_and_a_missing_one_is_zero() -> None:
    generator = torch.Generator().manual_seed(0)
    means = torch.randn(4, 3, generator=generator)
    found = smoothed("categorical", [2.0, 1.0, 0.0, 5.0], means)
    torch.testing.assert_close(found[[0, 1, 3]], means[[0, 1, 3]])
    assert found[2].tolist() == [0, 0, 0]


@given(st.sampled_from(["ordinal", "circular"]), st.integers(3, 9), st.integers(0, 999))
def test_many_labels_outweigh_the_penalty_and_few_are_smoothed(
    kind: Kind, n: int, seed: int
) -> None:
    means = torch.randn(n, 2, generator=torch.Generator().manual_seed(seed))
    torch.testing.assert_close(smoothed(kind, [1e5] * n, means), means, atol=1e-2, rtol=0)

    def bend(of: Tensor) -> float:
        return float((of.T @ roughness([kind], [n])[0] @ of).trace())

    assert bend(smoothed(kind, [1.0] * n, means)) <= bend(means) + 1e-5


def test_the_number_of_parameters_falls_to_that_of_a_line() -> None:
    means, counts = torch.zeros(1, 6, 2), torch.full((1, 6), 4.0)
    penalty = roughness(["ordinal"], [6])
    for strength, expected in ((0.0, 6.0), (1e3, 2.0)):
        parameters = smooth(counts, means, strength * penalty)[1]
        assert parameters.tolist() == pytest.approx([expected], abs=0.2)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("partly", [False, True])
def test_a_fitted_prior_has_components_of_missing_ordered_values_only(
    shared: bool, partly: bool
) -> None:
    table = RelationTable([0, 1], [1, 1], [4, 3])
    coding = Coding(table, ("ordinal", "categorical"))
    values = torch.tensor([[0, 0], [1, 0], [3, 1], [3, 0], [0, 1], [1, 1]]).repeat(4, 1)
    if partly:
        values[0, 0] = values[1, 1] = -1
    config = Config().with_values(
        {"loss.ordered_means": 1.0, "loss.shared_covariance": shared, "model.latent_size": 2}
    )
    memory = LabelledCodes(values, coding, config, partitions=2)
    noise = torch.randn(len(values), 2, 2, generator=torch.Generator().manual_seed(1))
    memory.codes = values.unsqueeze(-1) + 0.01 * noise
    prior = memory.fit()
    assert prior.log_weights.isfinite().tolist() == [[True] * 4, [True, True, False, False]]
    torch.testing.assert_close(prior.means[0, 2], torch.tensor([2.0, 2.0]), atol=0.05, rtol=0)
    for tensor in (prior.means, prior.covariances):
        assert tensor.isfinite().all()
    # Codes of the missing ordered value are read; those of the missing category never are.
    codes = torch.full((1, 2, 2), 2.0)
    assert prior.classify(codes).tolist() == [[2, 1]]
