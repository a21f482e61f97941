"""The weights of the prior-matching term."""

from __future__ import annotations

import pytest
import torch

from tests.core.conftest import small_config
from tests.core.training.test_trainer import weights
from weakdis_core.data.prepared import Prepared
from weakdis_core.evaluation.oracle import Oracle
from weakdis_core.training.trainer import Trainer


@pytest.mark.parametrize("matching", ["kl", "adversarial"])
def test_lambda_grows_over_its_ramp(
    sprites: Prepared, sprites_oracle: Oracle, matching: str
) -> None:
    def after_a_step(done: float, strength: float, ramp: float) -> list[torch.Tensor]:
        values = {"prior_matching": matching, "lambda": strength, "lambda_ramp": ramp}
        config = small_config("dsprites_v2").with_values(
            {f"loss.{name}": value for name, value in values.items()}
        )
        trainer = Trainer(config, sprites, sprites_oracle)
        step = round(done * config.training.steps)
        trainer.objectives.autoencoder_step(trainer.next_batch(), trainer.prior, "warmup", step)
        return weights(trainer)

    half, full = after_a_step(0.25, 2.0, 0.5), after_a_step(0.25, 1.0, 0.0)
    assert all(map(torch.equal, half, full))
    assert all(map(torch.equal, after_a_step(0.5, 1.0, 0.25), full))
    assert not all(map(torch.equal, after_a_step(0.25, 1.0, 0.5), full))


@pytest.mark.parametrize("stage", ["warmup", "full"])
def test_the_nuisance_weight_multiplies_the_divergence_of_nuisance_partitions(
    rooms: Prepared, rooms_oracle: Oracle, stage: str
) -> None:
    def divergence(partitions: int, weight: float) -> float:
        config = small_config("shapes3d_v2").with_values(
            {
                "loss.prior_matching": "kl",
                "loss.nuisance_weight": weight,
                "model.nuisance_partitions": partitions,
            }
        )
        trainer = Trainer(config, rooms, rooms_oracle)
        if stage == "full":
            trainer.enter_full_training()
        terms, _ = trainer.objectives.autoencoder_step(
            trainer.next_batch(), trainer.prior, stage, 0
        )
        return float(terms["kl"])

    once, thrice = divergence(1, 1.0), divergence(1, 3.0)
    assert 0 < divergence(1, 0.0) < once < thrice
    assert thrice - once == pytest.approx(2 * (once - divergence(1, 0.0)), rel=1e-4)
    assert divergence(0, 1.0) == divergence(0, 3.0)
