"""The losses of the few-labels baseline: small cases by hand, and Gaussians with known answers."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from tests.core.baselines.conftest import small_baseline
from weakdis_core.baselines.few_labels import (
    dip_penalty,
    gaussian_kl,
    permute_latents,
    regularise,
    supervised,
    total_correlation,
)
from weakdis_core.config.settings import Regulariser
from weakdis_core.data.prepared import Prepared
from weakdis_core.errors import UserError
from weakdis_core.evaluation.oracle import Oracle
from weakdis_core.presets import preset
from weakdis_core.training.trainer import Trainer


def test_the_divergence_from_the_standard_normal() -> None:
    means, variances = (
        torch.tensor([[1.0, 0.0], [0.0, 0.0]]),
        torch.tensor([[1.0, 1.0], [1.0, 4.0]]),
    )
    # 1/2 for the first image, (4 - ln 4 - 1) / 2 for the second.
    expected = (0.5 + 0.5 * (3 - math.log(4))) / 2
    assert float(gaussian_kl(means, variances.log())) == pytest.approx(expected)


@pytest.mark.parametrize("correlation", [0.0, 0.6, 0.9])
def test_the_total_correlation_of_a_gaussian(correlation: float) -> None:
    """Of two dimensions with correlation c it is -log(1 - c^2) / 2."""
    generator = torch.Generator().manual_seed(0)
    means = torch.randn(4000, 2, generator=generator)
    means[:, 1] = correlation * means[:, 0] + (1 - correlation**2) ** 0.5 * means[:, 1]
    # Posteriors so wide that the mixture is smooth; they add their variance to the marginals.
    log_variances = torch.full((4000, 2), math.log(0.04))
    codes = means + 0.2 * torch.randn(4000, 2, generator=generator)
    shown = correlation / 1.04
    expected = -0.5 * math.log(1 - shown**2)
    assert float(total_correlation(codes, means, log_variances)) == pytest.approx(
        expected, abs=0.05
    )


def test_the_penalty_of_a_covariance() -> None:
    # Covariance of the means: [[1, 1], [1, 1]].
    means = torch.tensor([[1.0, 1.0], [-1.0, -1.0]])
    none = torch.full((2, 2), -40.0)
    assert float(dip_penalty(means, none, "i")) == pytest.approx(2.0)
    # With posteriors of variance 1 its diagonal is 2.
    assert float(dip_penalty(means, torch.zeros(2, 2), "ii")) == pytest.approx(2.0 + 2.0)
    apart = torch.tensor([[2.0, 0.0], [-2.0, 0.0]])
    assert float(dip_penalty(apart, none, "i")) == pytest.approx(10 * (9 + 1))


def test_permuted_latents_keep_their_marginals() -> None:
    codes = torch.arange(12.0).unflatten(0, (4, 3))
    permuted = permute_latents(codes, torch.Generator().manual_seed(1))
    assert torch.equal(permuted.sort(0).values, codes)
    assert not torch.equal(permuted, codes)


def test_the_supervised_term_is_summed_and_leaves_out_unknown_values() -> None:
    means, n_values = torch.zeros(2, 3), torch.tensor([4, 2])
    values = torch.tensor([[2, 1], [0, -1]])
    # Targets 1/2 and 1/2, then 0: each cross-entropy of sigmoid(0) is ln 2.
    found = supervised(means, values, n_values, "xent")
    assert float(found) == pytest.approx(3 * math.log(2))
    assert float(supervised(means, values, n_values, "l2")) == pytest.approx(0.25)


def test_each_regulariser_is_the_divergence_where_it_adds_nothing() -> None:
    generator = torch.Generator().manual_seed(0)
    means = torch.randn(16, 3, generator=generator)
    log_variances = torch.zeros(16, 3)
    kl = gaussian_kl(means, log_variances)
    strengths: dict[Regulariser, float] = {"beta_vae": 1.0, "beta_tcvae": 1.0, "factor_vae": 9.0}
    for name, strength in strengths.items():
        assert torch.equal(regularise(name, strength, means, means, log_variances), kl)
    assert regularise("dip_vae_i", 2.0, means, means, log_variances) > kl
    assert regularise("dip_vae_ii", 2.0, means, means, log_variances) > kl


@pytest.mark.slow
@pytest.mark.parametrize("regulariser", ["beta_vae", "factor_vae"])
def test_factors_are_read_and_changed_by_mean_codes(
    regulariser: str, sprites: Prepared, sprites_oracle: Oracle
) -> None:
    config = small_baseline("few_labels", **{"few_labels.regulariser": regulariser})
    trainer = Trainer(config, sprites, sprites_oracle)
    terms = list(trainer.fit())[-1].metrics
    assert {"train/reconstruction", "train/regulariser", "train/label"} <= set(terms)
    assert ("train/discriminator" in terms) == (regulariser == "factor_vae")
    codes = trainer.model.encode(trainer.bank.batch(trainer.images_of("test", 4)))
    assert codes.shape == (4, 10, 1)
    moved = trainer.model.change_codes(codes, {"shape": 1})
    assert (moved[:, 0, 0] == float(trainer.prior.means[0, 1, 0])).all()
    np.testing.assert_array_equal(moved[:, 1:], codes[:, 1:])


@pytest.mark.parametrize(
    ("name", "value", "needed"),
    [
        ("model.latent_size", 2, "1"),
        ("loss.prior_matching", "adversarial", "kl"),
        ("training.ending", 0.2, "0.0"),
    ],
)
def test_settings_of_another_model_are_refused(name: str, value: object, needed: str) -> None:
    config = preset("default", "dsprites_v2", "few_labels")
    with pytest.raises(UserError, match=rf"{name} {value}: model.kind few_labels needs {needed}"):
        config.with_values({name: value})
