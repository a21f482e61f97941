"""ZeroDIM: its losses by hand, what each stage trains, and changes of factors."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from tests.core.baselines.conftest import small_baseline
from weakdis_core.baselines.zerodim import complete, cross_entropy, entropy
from weakdis_core.config.config import Config
from weakdis_core.data.prepared import Prepared
from weakdis_core.errors import UserError
from weakdis_core.evaluation.oracle import Oracle
from weakdis_core.models.zerodim_autoencoder import ZeroDimAutoencoder
from weakdis_core.scores.disentanglement import disentanglement_scores
from weakdis_core.training.trainer import Trainer

UNSURE = torch.tensor([[[0.5, 0.5, 0.0], [0.25, 0.25, 0.5]]])
"""Probabilities of an image's two factors with two and three values."""


def small(**changes: object) -> Config:
    return small_baseline("zerodim", **changes)


def model_of(trainer: Trainer) -> ZeroDimAutoencoder:
    model = trainer.networks.autoencoder
    assert isinstance(model, ZeroDimAutoencoder)
    return model


def test_the_entropy_of_values_leaves_out_padding() -> None:
    expected = math.log(2) + 1.5 * math.log(2)
    assert float(entropy(UNSURE.log())) == pytest.approx(expected)


def test_the_cross_entropy_leaves_out_unknown_values() -> None:
    read = UNSURE.log().expand(2, -1, -1)
    values = torch.tensor([[1, 2], [0, -1]])
    # 2 ln 2 for the first image, ln 2 for the second.
    assert float(cross_entropy(read, values)) == pytest.approx(1.5 * math.log(2))


def test_known_values_are_certain_and_others_as_read() -> None:
    found = complete(UNSURE, torch.tensor([[1, -1]]))
    assert found.tolist() == [[[0.0, 1.0, 0.0], [0.25, 0.25, 0.5]]]


def test_soft_codes_are_mean_embeddings_and_unlabelled_images_move_none(
    sprites: Prepared, sprites_oracle: Oracle
) -> None:
    trainer = Trainer(small(), sprites, sprites_oracle)
    model = model_of(trainer)
    probabilities = torch.zeros(1, model.factors, model.latent)
    probabilities[0, :, :2] = 0.5
    expected = model.embeddings[:, :2].mean(1)
    torch.testing.assert_close(model.embed(probabilities, model.embeddings)[0], expected)
    before = model.embeddings.detach().clone()
    batch = trainer.next_batch()
    # The embedding of a value that no labelled image of the batch has stays.
    trainer.objectives.autoencoder_step(batch, trainer.prior, "warmup", 0)
    moved = (model.embeddings != before).any(2)
    value = torch.arange(model.latent)
    shown = (batch.values.unsqueeze(-1) == value).any(0)
    assert torch.equal(moved, shown)


def test_each_stage_trains_its_own_networks(sprites: Prepared, sprites_oracle: Oracle) -> None:
    trainer = Trainer(small(), sprites, sprites_oracle)
    model, trained = model_of(trainer), {}
    for stage in ("warmup", "full", "ending"):
        before = {name: each.detach().clone() for name, each in model.named_parameters()}
        batch = trainer.next_batch()
        trainer.objectives.autoencoder_step(batch, trainer.prior, stage, 5)
        after = model.named_parameters()
        moved = {name.split(".")[0] for name, each in after if not torch.equal(each, before[name])}
        trained[stage] = moved
    assert trained == {
        "warmup": {"classifiers", "embeddings", "residuals", "generator"},
        "full": {"residual_encoder"},
        "ending": {"residual_encoder", "generator"},
    }


@pytest.mark.slow
def test_the_code_of_a_factor_is_the_probabilities_of_its_values(
    sprites: Prepared, sprites_oracle: Oracle
) -> None:
    trainer = Trainer(small(), sprites, sprites_oracle)
    terms: set[str] = set().union(*(report.metrics for report in trainer.fit()))
    assert {f"train/{name}" for name in ("label", "entropy", "residual", "reconstruction")} <= terms
    model = trainer.model
    codes = model.encode(trainer.bank.batch(trainer.images_of("test", 4)))
    np.testing.assert_allclose(codes[:, :3].sum(2), 1, atol=1e-5)
    np.testing.assert_array_equal(model.read_codes(codes)["shape"].values, codes[:, 0].argmax(1))
    moved = model.change_codes(codes, {"shape": 1})
    assert moved[:, 0].tolist() == [[float(value == 1) for value in range(codes.shape[2])]] * 4
    np.testing.assert_array_equal(moved[:, 1:], codes[:, 1:])
    # One number for each factor, as published; the residual code is left out.
    measured = model_of(trainer).measured(torch.from_numpy(codes))
    assert measured.shape == (4, 3, 1)
    scores = disentanglement_scores(trainer, raw=True)
    assert 0 <= scores["dci_disentanglement_partition"] <= 1


@pytest.mark.parametrize(
    ("name", "value", "needed"),
    [("model.latent_size", 2, "at least"), ("model.nuisance_partitions", 0, "residual code")],
)
def test_sizes_that_the_codes_do_not_fit_are_refused(
    name: str, value: int, needed: str, sprites: Prepared, sprites_oracle: Oracle
) -> None:
    with pytest.raises(UserError, match=rf"{name}: {value} is not allowed: .*{needed}"):
        Trainer(small(**{name: value}), sprites, sprites_oracle)


def test_it_needs_a_warmup() -> None:
    with pytest.raises(UserError, match=r"training.warmup 0.0 is no step: model.kind zerodim"):
        small(**{"training.warmup": 0.0})
