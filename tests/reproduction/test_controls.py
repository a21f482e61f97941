"""The controls do what they are called."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from reproduction import cells
from reproduction.work import component_spread
from tests.reproduction import small
from weakdis_core.config import Config
from weakdis_core.data.bank import ImageBank
from weakdis_core.data.store import Prepared, prepare
from weakdis_core.metrics.oracle import Oracle
from weakdis_core.metrics.oracle_cache import prepare_oracle
from weakdis_core.priors import Prior
from weakdis_core.trainer import Trainer


@pytest.fixture
def data(cache: Path) -> tuple[Prepared, Oracle]:
    settings = small.small_preset("default", "dsprites_v2").data
    prepared = prepare(settings)
    return prepared, prepare_oracle(prepared, settings)


def trainer_of(config: Config, data: tuple[Prepared, Oracle]) -> Trainer:
    return Trainer(config.with_values({"data.source": "rendered"}), *data)


def test_shuffled_labels_are_the_same_values_on_other_images(
    data: tuple[Prepared, Oracle],
) -> None:
    config = small.small_preset("default", "dsprites_v2")
    shuffled = trainer_of(config.with_values({"data.shuffle_labels": True}), data)
    true = ImageBank(data[0], torch.device("cpu")).values
    labelled = shuffled.labelled_index
    given = shuffled.bank.values[labelled]
    assert given.unique(dim=0, return_counts=True)[1].tolist() == (
        true[labelled].unique(dim=0, return_counts=True)[1].tolist()
    )
    # A third of the values of a factor with three stays where it is, by chance.
    same = (given == true[labelled]).float().mean().item()
    assert same == pytest.approx(1 / 3, abs=0.15)
    rest = torch.ones(len(true), dtype=torch.bool)
    rest[labelled] = False
    assert torch.equal(shuffled.bank.values[rest], true[rest])
    again = trainer_of(config.with_values({"data.shuffle_labels": True, "seed": 5}), data)
    assert torch.equal(again.bank.values, shuffled.bank.values)
    assert torch.equal(trainer_of(config, data).bank.values, true)


def test_an_untrained_model_has_initial_weights_and_fitted_priors(
    data: tuple[Prepared, Oracle], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cells, "preset", small.small_preset)
    (cell,) = cells.untrained("dsprites_v2", "rendered")
    trainer, fresh = trainer_of(cell.config, data), trainer_of(cell.config, data)
    list(trainer.fit())
    pairs = zip(
        trainer.networks.autoencoder.parameters(),
        fresh.networks.autoencoder.parameters(),
        strict=True,
    )
    for after, before in pairs:
        torch.testing.assert_close(after, before, atol=1e-9, rtol=0)
    assert (trainer.prior.log_weights > -torch.inf).sum() == 9
    scores = trainer.evaluate("test")
    # Three of three values are guessed right once in 27; 100 images.
    for kind in ("latent", "encoded", "pixels"):
        assert scores[f"relation_accuracy_{kind}"] < 0.2


def test_spread_known_answer() -> None:
    # Two partitions with components, padded to three, and a nuisance partition.
    log_weights = torch.tensor([[0.5, 0.5, 0.0], [0.2, 0.3, 0.5], [1.0, 0.0, 0.0]]).log()
    means = torch.zeros(3, 3, 4)
    means[0, 1] = 2.0  # at distance 4 from the first
    means[1, 1, 0], means[1, 2, 0] = 1.0, 3.0  # nearest at 1, 1 and 2
    deviations = torch.tensor([[0.1, 0.3, 9.0], [0.2, 0.2, 0.2], [1.0, 9.0, 9.0]])
    covariances = deviations.square()[..., None, None] * torch.eye(4)
    spread, distance = component_spread(Prior.build(log_weights, means, covariances), 2)
    assert spread == pytest.approx((0.1 + 0.3 + 3 * 0.2) / 5)
    assert distance == pytest.approx((4 + 4 + 1 + 1 + 2) / 5 / 4**0.5)
