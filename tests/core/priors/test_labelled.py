"""The labelled subset's codes, and the priors fitted to them."""

from __future__ import annotations

import pytest
import torch

from weakdis_core.config.config import Config
from weakdis_core.config.settings import LossSettings
from weakdis_core.data.variants import get_variant
from weakdis_core.priors.coding import Coding
from weakdis_core.priors.fitting import LabelledCodes, fit_prior
from weakdis_core.priors.prior import Prior, SharedPrior
from weakdis_core.training.losses import component_cross_entropy

VARIANT = get_variant("dsprites_v2")
CODING = Coding(VARIANT.relation_table("cpu"))
VALUES = torch.cartesian_prod(*(torch.arange(n) for n in VARIANT.n_values))


def labelled(**changes: object) -> LabelledCodes:
    settings = {f"loss.{name}": value for name, value in changes.items()}
    return LabelledCodes(VALUES, CODING, Config().with_values(settings), partitions=3)


def test_fitted_priors_follow_the_latest_codes() -> None:
    memory = labelled(covariance_scale=0.5)
    generator = torch.Generator().manual_seed(0)
    for _ in range(2):
        memory.codes = torch.randn(memory.codes.shape, generator=generator)
        loss = LossSettings(covariance_scale=0.5)
        expected = fit_prior(memory.codes, VALUES, torch.tensor([3, 3, 3]), 3, loss)
        for name, value in vars(memory.fit()).items():
            torch.testing.assert_close(value, getattr(expected, name))


def test_standard_and_fitted_priors_have_one_class() -> None:
    for shared, kind in ((False, Prior), (True, SharedPrior)):
        memory = labelled(shared_covariance=shared)
        memory.codes = torch.randn(memory.codes.shape, generator=torch.Generator().manual_seed(0))
        assert type(memory.standard()) is type(memory.fit()) is kind
        assert memory.standard().means.shape == memory.fit().means.shape


@pytest.mark.parametrize(("factor", "value"), [(0, 2), (1, 1)])
@pytest.mark.parametrize("shared", [False, True])
def test_a_value_without_a_label_is_never_read(factor: int, value: int, shared: bool) -> None:
    values = VALUES[VALUES[:, factor] != value]
    config = Config().with_values({"loss.shared_covariance": shared})
    memory = LabelledCodes(values, CODING, config, partitions=3)
    generator = torch.Generator().manual_seed(0)
    memory.codes = torch.randn(memory.codes.shape, generator=generator)
    prior = memory.fit()
    codes = torch.randn(500, *memory.codes.shape[1:], generator=generator)
    read = prior.classify(codes)
    assert set(read[:, factor].tolist()) == {0, 1, 2} - {value}
    assert prior.log_prob(codes).isfinite().all()
    # The loss of such a value is that of an unknown one, and its gradient is finite.
    codes.requires_grad_()
    losses = [
        component_cross_entropy(prior, codes, torch.full((500, 3), 0).index_fill_(1, column, each))
        for column in [torch.tensor([factor])]
        for each in (value, -1)
    ]
    assert losses[0] == losses[1]
    assert torch.autograd.grad(losses[0], codes)[0].isfinite().all()


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("standardise", [False, True])
def test_a_fit_with_unknown_values_is_that_of_each_partitions_known_rows(
    shared: bool, standardise: bool
) -> None:
    loss = LossSettings(shared_covariance=shared, standardise_prior=standardise)
    generator = torch.Generator().manual_seed(0)
    values = VALUES.repeat(3, 1)
    unknown = torch.rand(values.shape, generator=generator) < 0.4
    partly = values.masked_fill(unknown, -1)
    config = Config().with_values(
        {"loss.shared_covariance": shared, "loss.standardise_prior": standardise}
    )
    memory = LabelledCodes(partly, CODING, config, partitions=4)
    memory.codes = torch.randn(memory.codes.shape, generator=generator)
    fitted = memory.fit()
    for k in range(3):
        rows = ~unknown[:, k]
        alone = fit_prior(
            memory.codes[rows][:, [k]], values[rows][:, [k]], torch.tensor([3]), 3, loss
        )
        for name, value in vars(alone).items():
            torch.testing.assert_close(vars(fitted)[name][[k]], value)
    # A code whose value is unknown does not move its components.
    memory.codes[:, :3][unknown] = 1e6
    for name, value in vars(memory.fit()).items():
        assert torch.equal(value, vars(fitted)[name])


def test_a_value_that_only_partly_labelled_images_have_is_enough() -> None:
    partly = VALUES.clone()
    partly[VALUES[:, 0] == 2, 1:] = -1
    prior = LabelledCodes(partly, CODING, Config(), partitions=3).fit()
    assert prior.log_weights.isfinite().all()
