"""Losses: known answers and gradients."""

from __future__ import annotations

import math

import torch

from weakdis_core.priors.prior import Prior
from weakdis_core.training import losses


def test_reconstruction_sums_pixels_and_averages_the_batch() -> None:
    images = torch.tensor([0.0, 1.0]).repeat(4, 1, 2, 1)
    logits = torch.zeros_like(images)
    torch.testing.assert_close(losses.reconstruction(logits, images), torch.tensor(4 * math.log(2)))
    sure = 50 * (2 * images - 1)
    torch.testing.assert_close(losses.reconstruction(sure, images), torch.tensor(0.0))


def test_undecided_discriminator_has_a_loss_of_two_log_two() -> None:
    zeros = torch.zeros(5, 3, 1)
    torch.testing.assert_close(losses.discriminator(zeros, zeros), torch.tensor(2 * math.log(2)))
    torch.testing.assert_close(losses.adversary(zeros), torch.tensor(math.log(2)))
    torch.testing.assert_close(
        losses.discriminator(zeros + 50, zeros - 50), torch.tensor(0.0), atol=1e-6, rtol=0
    )


def two_components() -> Prior:
    means = torch.tensor([[[-1.0, 0.0], [1.0, 0.0]]]).repeat(2, 1, 1)
    covariances = torch.eye(2).expand(2, 2, 2, 2)
    return Prior.build(torch.full((2, 2), -math.log(2)), means, covariances)


def test_component_cross_entropy_between_and_at_the_means() -> None:
    prior = two_components()
    halfway = torch.zeros(3, 2, 2)
    values = torch.zeros(3, 2, dtype=torch.long)
    torch.testing.assert_close(
        losses.component_cross_entropy(prior, halfway, values), torch.tensor(2 * math.log(2))
    )
    at_home = prior.means[:, 0].expand(3, -1, -1)
    one = math.log(1 + math.exp(-2))
    torch.testing.assert_close(
        losses.component_cross_entropy(prior, at_home, values), torch.tensor(2 * one)
    )
    softer = math.log(1 + math.exp(-1))
    torch.testing.assert_close(
        losses.component_cross_entropy(prior, at_home, values, temperature=2.0),
        torch.tensor(2 * softer),
    )


def test_component_cross_entropy_ignores_nuisance_partitions() -> None:
    prior = two_components()
    codes = torch.zeros(3, 2, 2, requires_grad=True)
    losses.component_cross_entropy(prior, codes, torch.zeros(3, 1, dtype=torch.long)).backward()
    assert codes.grad is not None
    assert (codes.grad[:, 0] != 0).any()
    assert (codes.grad[:, 1] == 0).all()


def test_relational_loss_is_zero_only_at_the_target() -> None:
    codes = torch.arange(12.0).reshape(2, 3, 2)
    factor = torch.tensor([0, 2])
    sample = torch.full((2, 2), -1.0)
    wanted = codes.clone()
    wanted[0, 0], wanted[1, 2] = -1.0, -1.0
    assert losses.relational(wanted, codes, factor, sample) == 0
    assert losses.relational(wanted + 1, codes, factor, sample) == 6
    # Unchanged codes err in the affected partition: (0+1)^2 + (1+1)^2 and (10+1)^2 + (11+1)^2.
    assert losses.relational(codes, codes, factor, sample) == (1 + 4 + 121 + 144) / 2


def test_component_cross_entropy_skips_unknown_components() -> None:
    prior = two_components()
    codes = torch.randn(4, 2, 2, generator=torch.Generator().manual_seed(0)).requires_grad_()
    values = torch.tensor([[0, 1], [-1, 1], [1, -1], [-1, -1]])
    loss = losses.component_cross_entropy(prior, codes, values)
    log_posterior = prior.log_posterior(codes)
    known = [log_posterior[row, k, values[row, k]] for row, k in ((0, 0), (0, 1), (1, 1), (2, 0))]
    torch.testing.assert_close(loss, -torch.stack(known).sum() / 4)
    loss.backward()
    assert codes.grad is not None
    assert torch.equal((codes.grad != 0).any(-1), values >= 0)
