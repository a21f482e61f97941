"""The sleep phase: the encoder learns from images that the decoder draws from prior samples."""

from __future__ import annotations

import pytest
import torch

from tests.core.conftest import small_config
from weakdis_core.data.prepared import Prepared
from weakdis_core.evaluation.oracle import Oracle
from weakdis_core.training.trainer import Trainer

# No other term has a weight.
ALONE = {
    "loss.reconstruction_weight": 0.0,
    "loss.prior_matching": "kl",
    "loss.label_weight": 0.0,
    "loss.sleep_weight": 1.0,
}


@pytest.mark.parametrize("variant", ["sprites", "rooms"])
def test_the_sleep_phase_trains_the_encoder_and_no_other_network(
    variant: str, request: pytest.FixtureRequest
) -> None:
    prepared: Prepared = request.getfixturevalue(variant)
    oracle: Oracle = request.getfixturevalue(f"{variant}_oracle")
    config = small_config(prepared.variant.name).with_values(ALONE)
    trainer = Trainer(config, prepared, oracle)
    trainer.enter_full_training()
    model = trainer.networks.autoencoder
    before = {name: each.clone() for name, each in model.named_parameters()}
    halfway = config.training.steps // 2
    terms, _ = trainer.objectives.autoencoder_step(
        trainer.next_batch(), trainer.prior, "full", halfway
    )
    assert terms["sleep"] > 0
    changed = {name for name, each in model.named_parameters() if not each.equal(before[name])}
    assert changed == {name for name in before if name.startswith("encoder.")}


def test_the_sleep_phase_teaches_the_encoder_to_read_what_the_decoder_draws(
    sprites: Prepared, sprites_oracle: Oracle
) -> None:
    config = small_config("dsprites_v2").with_values(
        {**ALONE, "training.learning_rate": 1e-3, "training.decay": False}
    )
    trainer = Trainer(config, sprites, sprites_oracle)
    trainer.enter_full_training()
    batch, halfway = trainer.next_batch(), config.training.steps // 2

    def losses(steps: int) -> torch.Tensor:
        terms = [
            trainer.objectives.autoencoder_step(batch, trainer.prior, "full", halfway)[0]
            for _ in range(steps)
        ]
        return torch.stack([each["sleep"] for each in terms]).mean()

    first = losses(10)
    losses(300)
    assert losses(10) < 0.95 * first
