"""Priors with one covariance for all components: known answers and undefined cases."""

from __future__ import annotations

import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.covariance import ledoit_wolf
from torch import Tensor

from weakdis_core.config.settings import LossSettings
from weakdis_core.priors.fitting import fit_prior
from weakdis_core.priors.prior import Prior, SharedPrior
from weakdis_core.seeding import torch_generator

N_VALUES = torch.tensor([3, 5])


def shared(**settings: float) -> LossSettings:
    return LossSettings.model_validate({"shared_covariance": True, **settings})


SHARED = shared()


def example(labels: int = 60, latent: int = 4) -> tuple[Tensor, Tensor]:
    """Return codes around the mean of each component, and their components."""
    generator = torch_generator(0, "codes")
    index = torch.arange(labels)
    values = torch.stack([index % 3, index % 5], dim=1)
    codes = torch.randn(labels, 2, latent, dtype=torch.float64, generator=generator)
    codes[:, :, -1] += codes[:, :, 0]
    return codes + 3 * values.unsqueeze(-1), values


def expanded(prior: Prior) -> Prior:
    """Return the same mixture with a copy of the covariance for each component."""
    covariances = prior.covariances.expand(-1, prior.means.shape[1], -1, -1).clone()
    return Prior.build(prior.log_weights, prior.means, covariances)


def test_shared_prior_matches_a_prior_with_equal_covariances() -> None:
    codes, values = example()
    prior = fit_prior(codes, values, N_VALUES, 5, SHARED)
    full = expanded(prior)
    torch.testing.assert_close(prior.component_log_prob(codes), full.component_log_prob(codes))
    torch.testing.assert_close(prior.log_prob(codes), full.log_prob(codes))
    assert torch.equal(prior.classify(codes), full.classify(codes))
    spread = torch.zeros_like(codes) - 1
    for components in (None, values):
        torch.testing.assert_close(
            prior.kl(codes, spread, components), full.kl(codes, spread, components)
        )
    drawn = prior.sample(values, torch_generator(1, "draw"))
    torch.testing.assert_close(drawn, full.sample(values, torch_generator(1, "draw")))


def test_narrow_distant_components_keep_precision() -> None:
    generator = torch_generator(0, "codes")
    means = 300 + 5 * torch.randn(1, 200, 40, generator=generator)
    covariance = 1e-2 * torch.eye(40).expand(1, 1, -1, -1)
    prior = SharedPrior.build(torch.full((1, 200), -math.log(200)), means, covariance)
    codes = prior.sample(torch.arange(200).unsqueeze(1), generator)
    exact = SharedPrior.build(
        prior.log_weights.double(), means.double(), covariance.double()
    ).component_log_prob(codes.double())
    own = prior.component_log_prob(codes)[:, 0].diagonal()
    torch.testing.assert_close(own.double(), exact[:, 0].diagonal(), atol=0.3, rtol=0)


def test_shared_fit_matches_ledoit_wolf_of_scikit_learn() -> None:
    codes, values = example()
    prior = fit_prior(codes, values, N_VALUES, 5, shared(covariance_floor=1e-9))
    for partition, n in enumerate(N_VALUES.tolist()):
        means = [codes[values[:, partition] == v, partition].mean(0) for v in range(n)]
        torch.testing.assert_close(prior.means[partition, :n], torch.stack(means))
        residuals = codes[:, partition] - prior.means[partition, values[:, partition]]
        shrunk, _ = ledoit_wolf(residuals.numpy(), assume_centered=True)
        expected = torch.from_numpy(shrunk) * 60 / (60 - n)
        torch.testing.assert_close(prior.covariances[partition, 0], expected, atol=1e-6, rtol=1e-6)
    weights = prior.log_weights.exp()
    torch.testing.assert_close(weights[0], torch.tensor([1, 1, 1, 0, 0]).double() / 3)


def test_one_sample_for_each_component_gives_the_floor() -> None:
    codes = torch.randn(7, 1, 3, generator=torch_generator(0, "codes"))
    values = torch.arange(7).unsqueeze(1)
    prior = fit_prior(codes, values, torch.tensor([7]), 7, shared(covariance_floor=0.04))
    torch.testing.assert_close(prior.covariances[0, 0], 0.04 * torch.eye(3))
    assert torch.equal(prior.classify(codes), values)


@given(st.integers(1, 40), st.integers(1, 6), st.booleans())
@settings(deadline=None, max_examples=40)
def test_fit_is_always_finite(copies: int, latent: int, identical: bool) -> None:
    codes, values = example(5 * copies, latent)
    if identical:
        codes = codes[:1].expand(5 * copies, -1, -1)
    prior = fit_prior(codes, values, N_VALUES, 5, shared(standardise_prior=not identical))
    assert prior.scales.isfinite().all()
    assert prior.log_prob(codes).isfinite().all()


def test_nuisance_partitions_and_warmup_have_a_unit_normal() -> None:
    codes = torch.randn(30, 3, 4, generator=torch_generator(0, "codes"))
    prior = fit_prior(codes, example(30)[1], N_VALUES, 5, SHARED)
    expected = Prior.standard(3, 4).log_prob(codes)
    torch.testing.assert_close(prior.log_prob(codes)[:, 2], expected[:, 2])
    torch.testing.assert_close(SharedPrior.standard(3, 4, components=9).log_prob(codes), expected)


def test_log_prob_of_many_components_needs_no_large_tensor() -> None:
    components = 1000
    # A tensor of (codes, components, latent) would have 40 million numbers.
    codes = torch.randn(components, 1, 40, generator=torch_generator(0, "codes"))
    values = torch.arange(components).unsqueeze(1)
    prior = fit_prior(codes, values, torch.tensor([components]), components, SHARED)
    codes.requires_grad_()
    saved: list[int] = []

    def keep(tensor: Tensor) -> Tensor:
        saved.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        prior.component_log_prob(codes)
    assert max(saved) <= components**2
