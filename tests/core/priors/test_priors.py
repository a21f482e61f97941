"""Priors: known answers of torch.distributions and scikit-learn, and undefined cases."""

from __future__ import annotations

import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.covariance import ledoit_wolf
from torch.distributions import (
    Categorical,
    MixtureSameFamily,
    MultivariateNormal,
    kl_divergence,
)

from weakdis_core.config.settings import LossSettings
from weakdis_core.priors.fitting import fit_prior
from weakdis_core.priors.prior import Prior
from weakdis_core.seeding import torch_generator

N_VALUES = (3, 5)


def random_prior(latent: int = 4, seed: int = 0) -> Prior:
    generator = torch_generator(seed, "prior")
    means = 2 * torch.randn(2, 5, latent, generator=generator, dtype=torch.float64)
    roots = torch.randn(2, 5, latent, latent, generator=generator, dtype=torch.float64)
    covariances = roots @ roots.mT / latent + 0.2 * torch.eye(latent, dtype=torch.float64)
    log_weights = torch.randn(2, 5, generator=generator, dtype=torch.float64)
    log_weights[0, 3:] = -math.inf
    return Prior.build(log_weights.log_softmax(-1), means, covariances)


def reference(prior: Prior, partition: int, n_values: int) -> MixtureSameFamily:
    components = MultivariateNormal(
        prior.means[partition, :n_values], prior.covariances[partition, :n_values]
    )
    weights = Categorical(logits=prior.log_weights[partition, :n_values])
    return MixtureSameFamily(weights, components)


def test_densities_match_torch_distributions() -> None:
    prior = random_prior()
    codes = torch.randn(50, 2, 4, dtype=torch.float64, generator=torch_generator(0, "codes"))
    for partition, n in enumerate(N_VALUES):
        mixture = reference(prior, partition, n)
        own = codes[:, partition]
        torch.testing.assert_close(prior.log_prob(codes)[:, partition], mixture.log_prob(own))
        each = mixture.component_distribution.log_prob(own[:, None])
        torch.testing.assert_close(prior.component_log_prob(codes)[:, partition, :n], each)


def test_padding_is_never_classified_or_sampled() -> None:
    prior = random_prior()
    codes = 10 * torch.randn(500, 2, 4, dtype=torch.float64, generator=torch_generator(1, "codes"))
    assert prior.classify(codes)[:, 0].max() < 3
    assert prior.sample_components(500, torch_generator(0, "draw"))[:, 0].max() < 3
    assert (prior.component_log_prob(codes)[:, 0, 3:] == -math.inf).all()


def test_samples_have_the_mean_and_covariance_of_their_component() -> None:
    prior = random_prior()
    components = torch.tensor([[1, 4]]).expand(200_000, -1)
    codes = prior.sample(components, torch_generator(0, "draw")).double()
    for partition, component in enumerate((1, 4)):
        own = codes[:, partition]
        mean, covariance = own.mean(0), own.T.cov()
        torch.testing.assert_close(mean, prior.means[partition, component], atol=0.02, rtol=0)
        expected = prior.covariances[partition, component]
        torch.testing.assert_close(covariance, expected, atol=0.05, rtol=0)


def test_kl_is_exact_for_a_component_and_a_bound_for_a_mixture() -> None:
    prior = random_prior()
    generator = torch_generator(2, "codes")
    means = torch.randn(6, 2, 4, dtype=torch.float64, generator=generator)
    log_variances = torch.randn(6, 2, 4, dtype=torch.float64, generator=generator)
    components = torch.tensor([[2, 3]]).expand(6, -1)
    divergence = prior.kl(means, log_variances, components)
    for partition, component in enumerate((2, 3)):
        target = MultivariateNormal(
            prior.means[partition, component], prior.covariances[partition, component]
        )
        code = MultivariateNormal(
            means[:, partition], torch.diag_embed(log_variances[:, partition].exp())
        )
        torch.testing.assert_close(divergence[:, partition], kl_divergence(code, target))
    bound = prior.kl(means, log_variances)
    partly = components.clone()
    partly[::2, 0] = -1
    mixed = prior.kl(means, log_variances, partly)
    assert torch.equal(mixed, torch.where(partly < 0, bound, divergence))
    for partition, n in enumerate(N_VALUES):
        code = MultivariateNormal(
            means[:, partition], torch.diag_embed(log_variances[:, partition].exp())
        )
        with torch.random.fork_rng():
            torch.manual_seed(0)
            draws = code.sample(torch.Size([20_000]))
        mixture = reference(prior, partition, n)
        monte_carlo = (code.log_prob(draws) - mixture.log_prob(draws)).mean(0)
        assert (bound[:, partition] > monte_carlo - 0.05).all()


def test_standard_prior_is_a_unit_normal() -> None:
    prior = Prior.standard(3, 4, components=7)
    codes = torch.randn(10, 3, 4, generator=torch_generator(0, "codes"))
    expected = MultivariateNormal(torch.zeros(4), torch.eye(4)).log_prob(codes)
    torch.testing.assert_close(prior.log_prob(codes), expected)
    zero = torch.zeros(2, 3, 4)
    torch.testing.assert_close(prior.kl(zero, zero), torch.zeros(2, 3), atol=1e-5, rtol=0)


def test_fit_matches_ledoit_wolf_of_scikit_learn() -> None:
    generator = torch_generator(0, "codes")
    codes = torch.randn(60, 2, 4, dtype=torch.float64, generator=generator)
    codes[:, :, 1] += codes[:, :, 0]
    values = torch.stack([torch.arange(60) % 3, torch.arange(60) % 5], dim=1)
    prior = fit_prior(codes, values, torch.tensor(N_VALUES), 5, LossSettings(covariance_floor=1e-9))
    for partition, n in enumerate(N_VALUES):
        for value in range(n):
            own = codes[values[:, partition] == value, partition]
            covariance, _ = ledoit_wolf(own.numpy())
            expected = torch.from_numpy(covariance)
            torch.testing.assert_close(
                prior.covariances[partition, value], expected, atol=1e-6, rtol=1e-6
            )
            torch.testing.assert_close(prior.means[partition, value], own.mean(0))
    torch.testing.assert_close(
        prior.log_weights[0].exp(), torch.tensor([1, 1, 1, 0, 0], dtype=torch.float64) / 3
    )


def test_single_sample_gets_the_pooled_covariance() -> None:
    codes = torch.randn(21, 1, 3, generator=torch_generator(0, "codes"))
    values = torch.zeros(21, 1, dtype=torch.long)
    values[20] = 1
    prior = fit_prior(codes, values, torch.tensor([2]), 2, LossSettings(covariance_floor=1e-6))
    residuals = codes[:20, 0] - codes[:20, 0].mean(0)
    pooled = residuals.T @ residuals / 21
    torch.testing.assert_close(prior.covariances[0, 1], pooled, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(prior.means[0, 1], codes[20, 0])


@given(st.integers(2, 40), st.integers(1, 6), st.booleans())
@settings(deadline=None, max_examples=40)
def test_fit_is_always_finite(copies: int, latent: int, identical: bool) -> None:
    generator = torch_generator(copies, "codes")
    codes = torch.randn(5 * copies, 2, latent, generator=generator)
    if identical:
        codes = codes[:1].expand(5 * copies, -1, -1)
    index = torch.arange(5 * copies)
    values = torch.stack([index % 3, index % 5], dim=1)
    prior = fit_prior(
        codes, values, torch.tensor(N_VALUES), 5, LossSettings(standardise_prior=not identical)
    )
    assert prior.scales.isfinite().all()
    assert prior.log_prob(codes).isfinite().all()


def test_nuisance_partitions_have_a_unit_normal() -> None:
    codes = torch.randn(30, 3, 4, generator=torch_generator(0, "codes"))
    values = torch.stack([torch.arange(30) % 3, torch.arange(30) % 5], dim=1)
    prior = fit_prior(codes, values, torch.tensor(N_VALUES), 5, LossSettings())
    expected = MultivariateNormal(torch.zeros(4), torch.eye(4)).log_prob(codes[:, 2])
    torch.testing.assert_close(prior.log_prob(codes)[:, 2], expected)
    assert (prior.classify(codes)[:, 2] == 0).all()
