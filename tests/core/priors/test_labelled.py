"""The labelled subset's codes, and the priors fitted to them."""

from __future__ import annotations

import pytest
import torch

from weakdis_core.config.config import Config
from weakdis_core.config.settings import LossSettings
from weakdis_core.data.variants import get_variant
from weakdis_core.errors import UserError
from weakdis_core.priors.coding import Coding
from weakdis_core.priors.fitting import LabelledCodes, fit_prior
from weakdis_core.priors.prior import Prior, SharedPrior

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
def test_value_without_a_label_is_an_error(factor: int, value: int) -> None:
    message = rf"data\.labels: 18 is not enough: factor {factor} .* sample of value {value};"
    with pytest.raises(UserError, match=message):
        LabelledCodes(VALUES[VALUES[:, factor] != value], CODING, Config(), partitions=3)
