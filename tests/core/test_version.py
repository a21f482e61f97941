"""The numbers of the current CODE_VERSION. If a test fails, see `weakdis_core/version.py`.

The numbers are the same on every processor to within `TOLERANCE`: only a change of the code moves
them further. In float32 they would not be: processors add in different orders, Adam divides noise
by its own size, and a draw at a threshold takes another path. Here all is float64, where rounding
is a billion times smaller; image noise keeps inputs away from the kinks of activations; and the
images are portable: sprites are point sampled, and rooms, which their renderer rounds, are painted.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.core.conftest import SMALL, prepared_variant
from weakdis_core.config.config import validated
from weakdis_core.data.bank import ImageBank
from weakdis_core.data.renderers import shapes3d
from weakdis_core.data.splits import split
from weakdis_core.evaluation.oracle import train_oracle
from weakdis_core.training.trainer import Trainer
from weakdis_core.version import CODE_VERSION

# Independent of the presets, which may change without a change of the code.
ADDITIONS: dict[str, Any] = {
    "model.upsampling": "pixel_shuffle",
    "model.residual_relations": True,
    "model.he_initialisation": True,
    "loss.label_weight": 10.0,
    "loss.label_temperature": 2.0,
    "loss.prior_refit_every": 2,
    "loss.ordered_means": 1.0,
    "loss.sleep_weight": 1.0,
    # Without noise some units have an input of 0 on sprites, where rounding decides their slope.
    "loss.image_noise": 0.05,
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
        "loss.nuisance_weight": 4.0,
        "loss.reconstruction_weight": 0.02,
        "loss.prior_matching": "kl",
        "loss.lambda": 0.5,
        "loss.standardise_prior": True,
        "loss.resample_probability": 0.5,
    },
    "paper": {"loss.covariance_scale": 0.1},
}
# Means of the last six steps; the sharpness on test, and the mean square of the oracle's logits.
NUMBERS: dict[str, dict[str, float]] = {
    "dsprites_v2": {
        "reconstruction": 1153.1741453,
        "kl": 3.5972071943,
        "label": 3.3655713925,
        "sleep": 3.4544846715,
        "relational": 1.3480613633,
        "psnr": 11.000822995,
        "oracle": 0.0098040290879,
    },
    "shapes3d_v2": {
        "reconstruction": 8302.1202611,
        "kl": 55.569026828,
        "label": 3.3494004782,
        "sleep": 3.8938380529,
        "relational": 14.986194504,
        "psnr": 10.645930181,
        "oracle": 0.0019830923581,
    },
    # No addition: the numbers of version 2.
    "paper": {
        "reconstruction": 2462.9504985,
        "discriminator": 1.3897038615,
        "adversary": 0.75364330581,
        "relational": 0.75486440217,
        "psnr": 6.9011570310,
        "oracle": 0.0098040290879,
    },
}
# On 100 test images: joint factor accuracy, the affected factor's relation accuracies (latent,
# encoded, pixels), and the oracle's own accuracy.
ACCURACIES = {
    "dsprites_v2": [0.07, 0.24, 0.26, 0.27, 0.19],
    "shapes3d_v2": [0.07, 0.15, 0.13, 0.12, 0.07],
    "paper": [0.06, 0.29, 0.33, 0.31, 0.19],
}
VERSION = 3
TOLERANCE = 1e-5
"""Relative. Instruction sets and numbers of threads change the numbers by 2e-7 at most."""


def painted(indices: NDArray[np.int64], progress: object = None) -> NDArray[np.uint8]:
    """Draw two stripes in each channel: the six grid indices of a room as brightness."""
    levels = (indices * 255 // (np.array(shapes3d.GRID) - 1)).astype(np.uint8)
    images: NDArray[np.uint8] = levels.reshape(-1, 3, 2, 1).repeat(32, axis=2).repeat(64, axis=3)
    return images


@pytest.fixture
def float64(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Make the core compute in float64 instead of float32."""
    batch = ImageBank.batch
    monkeypatch.setattr(ImageBank, "batch", lambda bank, index: batch(bank, index).double())
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", SETTINGS)
def test_the_numbers_of_this_version(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shapes3d, "render", painted)
    variant = "dsprites_v2" if name == "paper" else name
    prepared = prepared_variant(variant, tmp_path)
    additions = {"training.warmup": 0.25} if name == "paper" else ADDITIONS
    changes = {**additions, **SMALL, **SETTINGS[name]}
    config = validated({"data": {"variant": variant}}).with_values(
        {**changes, "training.steps": 12, "training.evaluations": 2}
    )
    oracle = train_oracle(prepared, split(prepared.digests, 0), steps=3)
    trainer = Trainer(config, prepared, oracle)
    *_, last = trainer.fit()
    scores = trainer.evaluate("test") | oracle.accuracies()
    numbers = {k.removeprefix("train/"): v for k, v in last.metrics.items() if "train/" in k}
    images = trainer.bank.batch(trainer.images_of("test"))
    numbers["psnr"] = scores["reconstruction_psnr"]
    numbers["oracle"] = float(oracle.network(images).square().mean())
    accuracies = [scores["factor_accuracy"]]
    for kind in ("latent", "encoded", "pixels"):
        accuracies.append(scores[f"relation_accuracy_{kind}_affected"])
    accuracies.append(scores["oracle_accuracy"])
    assert VERSION == CODE_VERSION, "new numbers belong to the new version"
    assert numbers == pytest.approx(NUMBERS[name], rel=TOLERANCE)
    # Exact: rounding moves no image across a threshold.
    assert accuracies == pytest.approx(ACCURACIES[name], abs=1e-9)
