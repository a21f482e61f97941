"""The oracle: a classifier of images that judges decoded pictures.

It is trained on clean, blurred and noisy images of the train split with all labels.
`weakdis_core.evaluation.oracle_cache` stores it.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from weakdis_core.config.settings import ModelSettings
from weakdis_core.data.bank import ImageBank
from weakdis_core.data.prepared import Prepared
from weakdis_core.data.splits import Splits
from weakdis_core.data.transformations import transform
from weakdis_core.data.variant import OWN, UNKNOWN, Variant
from weakdis_core.devices import flush_denormals, make_reproducible, one_thread
from weakdis_core.metrics.accuracy import factor_accuracy
from weakdis_core.models.autoencoder import he_initialise
from weakdis_core.models.encoders import build_encoder
from weakdis_core.seeding import derive, noise_like, torch_generator
from weakdis_core.version import CODE_VERSION

_ARCHITECTURE = {
    "own": ModelSettings(encoder="residual", channels=24, hidden=256),
    "dsprites": ModelSettings(encoder="object_centred", channels=32, hidden=256),
    "shapes3d": ModelSettings(encoder="convolutional", channels=32, hidden=256),
}
# With 500 steps, the oracle of shapes3d_v5 has an accuracy of .991 (docs/results.md at commit
# 2df3ec3). It limits the pixel accuracy of our model.
_STEPS = {"dsprites": 600, "shapes3d": 1000, "own": 300}
# Least rise of the accuracy on validation after which the oracle of own pictures is trained again.
_RISE = 0.01
TRUSTED = 0.9
"""Least joint accuracy on validation at which an oracle's readings of own pictures are trusted."""
_BATCH = {"dsprites": 128, "shapes3d": 128, "own": 64}
_RATE = 2e-3
# Least probability at which a value that the oracle reads stands for a missing label.
_CONFIDENT = 0.8
# Sigma in pixels of two strengths of blur, and standard deviation of the noise.
_SOFTENING = {"little": 0.8, "much": 1.5, "noise": 0.1}
# Sigma in pixels of the blurred test images.
_SOFT_SIGMA = 1.0


@dataclass(frozen=True)
class Oracle:
    """A trained classifier of images.

    Attributes:
        network: Maps images to logits of every value of every factor.
        n_values: Number of values of each factor.
        clean_accuracy: Joint factor accuracy on test images.
        softened_accuracy: Joint factor accuracy on blurred test images.
        validation_accuracy: Joint factor accuracy on validation; NaN for shipped variants.
    """

    network: nn.Module
    n_values: tuple[int, ...]
    clean_accuracy: float = math.nan
    softened_accuracy: float = math.nan
    validation_accuracy: float = math.nan

    @property
    def is_trusted(self) -> bool:
        """Whether its readings are trusted; those of the shipped variants always are."""
        return not self.validation_accuracy < TRUSTED

    @torch.no_grad()
    def classify(self, images: Tensor) -> Tensor:
        """Return factor values `(n, factors)` of images `(n, channels, 64, 64)` in [0, 1]."""
        logits = self.network(images).split(list(self.n_values), dim=1)
        return torch.stack([part.argmax(-1) for part in logits], dim=1)

    @torch.no_grad()
    def read_confidently(self, images: Tensor) -> Tensor:
        """Return factor values as `classify` does, with `UNKNOWN` for uncertain ones."""
        logits = self.network(images).split(list(self.n_values), dim=1)
        found = [part.softmax(-1).max(-1) for part in logits]
        values = [most.indices.where(most.values > _CONFIDENT, UNKNOWN) for most in found]
        return torch.stack(values, dim=1)

    def accuracies(self) -> dict[str, float]:
        """Return the oracle's own accuracies, by the names of the scores."""
        return {
            "oracle_accuracy": self.clean_accuracy,
            "oracle_accuracy_softened": self.softened_accuracy,
        }

    def to(self, device: torch.device) -> Oracle:
        """Return a copy of the oracle on `device`."""
        return replace(self, network=copy.deepcopy(self.network).to(device))


@one_thread()
def train_oracle(
    prepared: Prepared,
    splits: Splits,
    device: torch.device | str = "cpu",
    progress: Callable[[int, int], None] | None = None,
    steps: int | None = None,
) -> Oracle:
    """Train an oracle on the train split with all labels and measure it on test.

    Own pictures are transformed as their description allows. On them training is repeated, from
    the weights so far, until the accuracy on validation has stopped rising. Missing labels are then
    read by the network of the last round where it is confident (Xie et al., 2020).

    Args:
        prepared: The variant's images.
        splits: Its splits.
        device: Device to train on.
        progress: Function called with (steps done, all steps).
        steps: Optimisation steps; None for the default of the variant's family.
    """
    device = torch.device(device)
    make_reproducible(device)
    bank, variant = ImageBank(prepared, device), prepared.variant
    network = build_network(variant).to(device)
    generator = torch_generator(0, "oracle", device)
    steps = steps or _STEPS[variant.family]
    missing = prepared.factors[splits.train] == UNKNOWN
    without = missing.all(axis=1)
    labelled, unlabelled = (
        torch.from_numpy(splits.train[rows]).to(device) for rows in (~without, without)
    )
    _train_round(network, variant, bank, labelled, generator, steps, progress)
    oracle = Oracle(network, variant.n_values)
    if variant.family == OWN:
        oracle = _validated(oracle, bank, splits)
        # About half of the images drawn are labelled.
        repeats = max(1, round(len(unlabelled) / len(labelled)))
        rows = torch.cat([labelled.repeat(repeats), unlabelled])
        while oracle.validation_accuracy < 1:
            network, teacher = copy.deepcopy(oracle.network), oracle if missing.any() else None
            _train_round(network, variant, bank, rows, generator, steps, progress, teacher)
            again = _validated(Oracle(network, variant.n_values), bank, splits)
            if again.validation_accuracy < oracle.validation_accuracy + _RISE:
                break
            oracle = again
    oracle.network.eval().requires_grad_(False)
    return replace(
        oracle,
        clean_accuracy=_accuracy(oracle, bank, splits.test),
        softened_accuracy=_accuracy(oracle, bank, splits.test, _SOFT_SIGMA),
    )


@flush_denormals()
def _train_round(
    network: nn.Module,
    variant: Variant,
    bank: ImageBank,
    rows: Tensor,
    generator: torch.Generator,
    steps: int,
    progress: Callable[[int, int], None] | None,
    teacher: Oracle | None = None,
) -> None:
    """Train a network for one cycle of the learning rate; a teacher reads missing values."""
    optimiser = torch.optim.AdamW(network.parameters(), lr=_RATE, weight_decay=1e-4, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, _RATE, total_steps=steps)
    batch = _BATCH[variant.family]
    allowed = variant.transformations if variant.family == OWN else ()
    for step in range(steps):
        draw = torch.randint(len(rows), (batch,), generator=generator, device=rows.device)
        index = rows[draw]
        images, values = bank.batch(index), bank.values[index]
        if teacher is not None:
            values = torch.where(values == UNKNOWN, teacher.read_confidently(images), values)
        changed = _soften(transform(images, allowed, generator), generator)
        logits = network(changed).split(list(variant.n_values), dim=1)
        losses = [_cross_entropy(part, values[:, k]) for k, part in enumerate(logits)]
        optimiser.zero_grad()
        torch.stack(losses).sum().backward()
        optimiser.step()
        schedule.step()
        if progress is not None and (step + 1) % 20 == 0:
            progress(step + 1, steps)


def blur(images: Tensor, sigma: float) -> Tensor:
    """Blur images `(n, channels, height, width)` by a Gaussian of `sigma` > 0 pixels."""
    radius = max(1, round(3 * sigma))
    ramp = torch.arange(-radius, radius + 1, dtype=images.dtype, device=images.device)
    kernel = torch.exp(-0.5 * (ramp / sigma).square())
    kernel = (kernel / kernel.sum()).expand(images.shape[1], 1, -1)
    padded = F.pad(images, (radius,) * 4, mode="replicate")
    rows = F.conv2d(padded, kernel.unsqueeze(2), groups=images.shape[1])
    return F.conv2d(rows, kernel.unsqueeze(3), groups=images.shape[1])


def build_network(variant: Variant) -> nn.Module:
    """Return the network of an untrained oracle, with the same weights at every call."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(0, f"oracle/{variant.name}"))
        network = build_encoder(
            variant.channels, sum(variant.n_values), _ARCHITECTURE[variant.family], variant.size
        )
        return network.apply(he_initialise) if variant.family == OWN else network


def _soften(images: Tensor, generator: torch.Generator) -> Tensor:
    """Blur a third of the images and add noise to a third, because decoded pictures are soft."""
    third = len(images) // 3
    clean, little, much, noisy = images.tensor_split([third, third + third // 2, 2 * third])
    noised = (noisy + _SOFTENING["noise"] * noise_like(noisy, generator)).clamp(0, 1)
    blurred = blur(little, _SOFTENING["little"]), blur(much, _SOFTENING["much"])
    return torch.cat([clean, *blurred, noised])


def _cross_entropy(logits: Tensor, values: Tensor) -> Tensor:
    """Return the mean cross-entropy over known values; 0 without any."""
    known = (values != UNKNOWN).sum()
    total = F.cross_entropy(logits, values, ignore_index=UNKNOWN, reduction="sum")
    return total / known.clamp(min=1)


def _validated(oracle: Oracle, bank: ImageBank, splits: Splits) -> Oracle:
    """Return the oracle with its accuracy on validation."""
    return replace(oracle, validation_accuracy=_accuracy(oracle, bank, splits.validation))


@torch.no_grad()
def _accuracy(oracle: Oracle, bank: ImageBank, index: np.ndarray, sigma: float = 0.0) -> float:
    """Return the joint factor accuracy on images, blurred by `sigma` > 0 pixels."""
    read = []
    for rows in torch.from_numpy(index).split(500):
        images = bank.batch(rows)
        read.append(oracle.classify(blur(images, sigma) if sigma else images))
    true = bank.values.cpu().numpy()[index]
    joint, _ = factor_accuracy(torch.cat(read).cpu().numpy(), true)
    return joint


def recipe(family: str) -> dict[str, Any]:
    """Return everything that determines an oracle, except its images and the data seed."""
    return {
        "code": CODE_VERSION,
        "architecture": _ARCHITECTURE[family].model_dump(mode="json"),
        "steps": _STEPS[family],
        "batch": _BATCH[family],
        "rate": _RATE,
        "softening": _SOFTENING,
        "soft_sigma": _SOFT_SIGMA,
    } | ({"confident": _CONFIDENT} if family == OWN else {})
