"""What the present CODE_VERSION computes: see `weakdis_core/version.py` where this fails."""

from __future__ import annotations

from typing import Any

import pytest

from tests.core.conftest import SMALL
from weakdis_core.config import validated
from weakdis_core.data.store import Prepared
from weakdis_core.metrics.oracle import Oracle
from weakdis_core.trainer import Trainer
from weakdis_core.version import CODE_VERSION

# Written out, not taken from the presets: those may change without a change of the code.
ADDITIONS: dict[str, Any] = {
    "model.upsampling": "pixel_shuffle",
    "model.residual_relations": True,
    "model.he_initialisation": True,
    "loss.label_weight": 10.0,
    "loss.label_temperature": 2.0,
    "loss.prior_refit_every": 2,
    "loss.cycle_weight": 0.5,
    "training.warmup": 0.1,
    "training.ending": 0.2,
    "training.learning_rate": 2e-3,
    "training.discriminator_learning_rate": 1e-3,
    "training.relational_learning_rate": 3e-3,
    "training.ramp_steps": 2,
    "training.decay": True,
    "training.clip": 5.0,
}
SETTINGS: dict[str, dict[str, Any]] = {
    "dsprites_v2": {
        "model.encoder": "object_centred",
        "model.decoder": "placed_patch",
        "loss.reconstruction_weight": 0.05,
        "loss.prior_matching": "kl",
        "loss.lambda": 0.5,
        "loss.shared_covariance": True,
        "training.ending_means": True,
    },
    "shapes3d_v2": {
        "model.decoder": "palette",
        "model.nuisance_partitions": 1,
        "loss.reconstruction_weight": 0.02,
        "loss.prior_matching": "kl",
        "loss.lambda": 0.5,
        "loss.image_noise": 0.05,
        "loss.standardise_prior": True,
        "loss.cycle_swaps": 0.33,
        "loss.resample_probability": 0.5,
    },
    "paper": {"loss.covariance_scale": 0.1},
}
# Means of the last six steps, and the sharpness on test.
LOSSES: dict[str, dict[str, float]] = {
    "dsprites_v2": {
        "reconstruction": 869.24,
        "kl": 9.7463,
        "label": 2.9112,
        "cycle": 4.4656,
        "relational": 2.194,
        "psnr": 13.481,
    },
    "shapes3d_v2": {
        "reconstruction": 8318.3,
        "kl": 27.655,
        "label": 3.8816,
        "cycle": 4.1129,
        "relational": 16.023,
        "psnr": 8.3876,
    },
    "paper": {
        "reconstruction": 2923.9,
        "discriminator": 1.3863,
        "adversary": 0.70776,
        "relational": 0.67014,
        "psnr": 5.8477,
    },
}
# On 100 test images: joint factor accuracy, the affected factor's relation accuracies (latent,
# encoded, pixels), and the oracle's own accuracy.
ACCURACIES = {
    "dsprites_v2": [0.16, 0.14, 0.19, 0.34, 0.42],
    "shapes3d_v2": [0.0, 0.08, 0.16, 0.14, 0.04],
    "paper": [0.08, 0.29, 0.33, 0.4, 0.42],
}
VERSION = 2


@pytest.mark.parametrize("name", SETTINGS)
def test_the_numbers_of_this_version(name: str, request: pytest.FixtureRequest) -> None:
    fixture = "rooms" if name.startswith("shapes3d") else "sprites"
    prepared: Prepared = request.getfixturevalue(fixture)
    oracle: Oracle = request.getfixturevalue(f"{fixture}_oracle")
    additions = {"training.warmup": 0.25} if name == "paper" else ADDITIONS
    changes = {**additions, **SMALL, **SETTINGS[name]}
    config = validated({"data": {"variant": prepared.variant.name}}).with_values(
        {**changes, "training.steps": 12, "training.evaluations": 2}
    )
    trainer = Trainer(config, prepared, oracle)
    *_, last = trainer.fit()
    scores = trainer.evaluate("test") | oracle.accuracies()
    losses = {k.removeprefix("train/"): v for k, v in last.metrics.items() if "train/" in k}
    accuracies = [scores["factor_accuracy"]]
    for kind in ("latent", "encoded", "pixels"):
        accuracies.append(scores[f"relation_accuracy_{kind}_affected"])
    accuracies.append(scores["oracle_accuracy"])
    assert VERSION == CODE_VERSION, "new numbers belong to the new version"
    assert losses | {"psnr": scores["reconstruction_psnr"]} == pytest.approx(LOSSES[name], rel=1e-3)
    assert accuracies == pytest.approx(ACCURACIES[name], abs=0.03)
