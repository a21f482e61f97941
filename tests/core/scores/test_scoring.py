"""Scoring on test, its counts, and the controls."""

from __future__ import annotations

import pytest
import torch

from tests.core.conftest import small_config
from weakdis_core import rows
from weakdis_core.config.config import Config
from weakdis_core.data.bank import ImageBank
from weakdis_core.data.prepared import Prepared
from weakdis_core.evaluation.oracle import Oracle
from weakdis_core.priors.prior import Prior
from weakdis_core.scores.counts import count_of
from weakdis_core.scores.scoring import component_spread, score_on_test
from weakdis_core.training.trainer import Trainer

Data = tuple[Prepared, Oracle]


@pytest.fixture
def data(sprites: Prepared, sprites_oracle: Oracle) -> Data:
    return sprites, sprites_oracle


def trained(config: Config, data: Data) -> Trainer:
    trainer = Trainer(config, *data)
    list(trainer.fit())
    return trainer


def test_modular_model_has_scores_and_counts(data: Data) -> None:
    prepared, oracle = data
    trainer = trained(small_config("dsprites_v2"), data)
    scores = score_on_test(trainer, oracle, prepared, "converted")
    # A tenth of the 1000 images are test.
    for kind in ("latent", "encoded", "pixels", "pixels_affected"):
        assert count_of(f"relation_accuracy_{kind}", scores) == 100
    for name in ("oracle_accuracy", "factor_accuracy_shape", "swap_psnr", "sap_converted"):
        assert count_of(name, scores) == 100
    assert count_of("relation_accuracy_pixels_move_left", scores) is None
    # dSprites has no hue.
    assert count_of("nuisance_kept", scores) == 0
    assert count_of("mig_converted", scores) == scores["disentanglement_train_rows"] == 740
    assert 0 < scores["sap_ceiling"] < scores["mig_ceiling"] <= 1
    assert scores["component_spread"] > 0


def test_monolithic_model_has_scores_and_counts(data: Data) -> None:
    prepared, oracle = data
    trainer = trained(small_config("dsprites_v2", "monolithic"), data)
    scores = score_on_test(trainer, oracle, prepared)
    # The 60 labels are stratified by combination and own all 27.
    assert scores["coverage"] == 1.0
    assert count_of("relation_accuracy_encoded", scores) == scores["images_judged"]
    assert not {"component_spread", "swap_psnr", "mig_converted"} & set(scores)


def test_component_spread_of_a_known_prior() -> None:
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


def test_shuffled_labels_are_a_permutation(data: Data) -> None:
    config = small_config("dsprites_v2")
    shuffled = Trainer(config.with_values({"data.shuffle_labels": True}), *data)
    true = ImageBank(data[0], torch.device("cpu")).values
    labelled = shuffled.labelled_index
    given = shuffled.bank.values[labelled]
    assert given.unique(dim=0, return_counts=True)[1].tolist() == (
        true[labelled].unique(dim=0, return_counts=True)[1].tolist()
    )
    # By chance, a third of the labels of a factor with three values stay the same.
    same = (given == true[labelled]).float().mean().item()
    assert same == pytest.approx(1 / 3, abs=0.15)
    rest = torch.ones(len(true), dtype=torch.bool)
    rest[labelled] = False
    assert torch.equal(shuffled.bank.values[rest], true[rest])
    again = Trainer(config.with_values({"data.shuffle_labels": True, "seed": 5}), *data)
    assert torch.equal(again.bank.values, shuffled.bank.values)
    assert torch.equal(Trainer(config, *data).bank.values, true)


def test_untrained_model_has_initial_weights_and_fitted_priors(
    data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "preset", lambda name, variant: small_config(variant))
    (run,) = rows.untrained("dsprites_v2", "rendered")
    config = run.config.with_values({"data.data_seed": 0})
    trainer, fresh = Trainer(config, *data), Trainer(config, *data)
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
    # Chance is 1/27, on 100 images.
    for kind in ("latent", "encoded", "pixels"):
        assert scores[f"relation_accuracy_{kind}"] < 0.2
