"""The oracle: a classifier of images that judges decoded pictures.

Trained on clean, blurred and noisy images of the train split with all labels, and measured on
clean and on softened test images. `oracle_cache` keeps it.
"""

from __future__ import annotations

import copy
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
from weakdis_core.data.variants import Variant
from weakdis_core.devices import make_reproducible
from weakdis_core.metrics.accuracy import factor_accuracy
from weakdis_core.models.encoders import build_encoder
from weakdis_core.seeding import derive, noise_like, torch_generator
from weakdis_core.version import CODE_VERSION

_ARCHITECTURE = {
    "dsprites": ModelSettings(encoder="object_centred", channels=32, hidden=256),
    "shapes3d": ModelSettings(encoder="convolutional", channels=32, hidden=256),
}
_STEPS = {"dsprites": 600, "shapes3d": 500}
_BATCH = 128
_RATE = 2e-3
# Shares and strengths of what an oracle is trained on beside clean images: sigma in pixels of a
# little and of much blur, and standard deviation of the noise.
_SOFTENING = {"little": 0.8, "much": 1.5, "noise": 0.1}
_SOFT_SIGMA = 1.0


@dataclass(frozen=True)
class Oracle:
    """A trained judge.

    Attributes:
        network: Images to logits of every value of every factor.
        n_values: Values of each factor.
        clean_accuracy: Joint factor accuracy on test images.
        softened_accuracy: The same on blurred test images.
    """

    network: nn.Module
    n_values: tuple[int, ...]
    clean_accuracy: float
    softened_accuracy: float

    def classify(self, images: Tensor) -> Tensor:
        """Factor values of `(n, channels, 64, 64)` images in [0, 1], `(n, factors)`."""
        with torch.no_grad():
            return _classify(self.network, images, self.n_values)

    def accuracies(self) -> dict[str, float]:
        """Its own accuracies, as they are stored beside those it judges."""
        return {
            "oracle_accuracy": self.clean_accuracy,
            "oracle_accuracy_softened": self.softened_accuracy,
        }

    def to(self, device: torch.device) -> Oracle:
        """The same oracle on `device`; this one stays where it is."""
        return replace(self, network=copy.deepcopy(self.network).to(device))


def train_oracle(
    prepared: Prepared,
    splits: Splits,
    device: torch.device | str = "cpu",
    progress: Callable[[int, int], None] | None = None,
    steps: int | None = None,
) -> Oracle:
    """Train an oracle on the train split with all labels and measure it on test.

    Args:
        prepared: The variant's images.
        splits: Its splits.
        device: Where to train.
        progress: Called with (steps done, steps in all).
        steps: Optimisation steps; None for what the variant's family needs.
    """
    device = torch.device(device)
    make_reproducible(device)
    bank = ImageBank(prepared, device)
    n_values = prepared.variant.n_values
    network = build_network(prepared.variant).to(device)
    generator = torch_generator(0, "oracle", device)
    train = torch.from_numpy(splits.train).to(device)
    steps = steps or _STEPS[prepared.variant.family]
    optimiser = torch.optim.AdamW(network.parameters(), lr=_RATE, weight_decay=1e-4, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, _RATE, total_steps=steps)
    for step in range(steps):
        draw = torch.randint(len(train), (_BATCH,), generator=generator, device=device)
        index = train[draw]
        images = _softened_at_random(bank.batch(index), generator)
        logits = network(images).split(list(n_values), dim=1)
        values = bank.values[index]
        losses = [F.cross_entropy(part, values[:, k]) for k, part in enumerate(logits)]
        optimiser.zero_grad()
        torch.stack(losses).sum().backward()
        optimiser.step()
        schedule.step()
        if progress is not None and (step + 1) % 20 == 0:
            progress(step + 1, steps)
    network.eval().requires_grad_(False)
    clean, soft = _measure(network, bank, splits.test, n_values)
    return Oracle(network, n_values, clean, soft)


def blur(images: Tensor, sigma: float) -> Tensor:
    """Gaussian blur of `(n, channels, height, width)` images; `sigma` in pixels, above 0."""
    radius = max(1, round(3 * sigma))
    ramp = torch.arange(-radius, radius + 1, dtype=images.dtype, device=images.device)
    kernel = torch.exp(-0.5 * (ramp / sigma).square())
    kernel = (kernel / kernel.sum()).expand(images.shape[1], 1, -1)
    padded = F.pad(images, (radius,) * 4, mode="replicate")
    rows = F.conv2d(padded, kernel.unsqueeze(2), groups=images.shape[1])
    return F.conv2d(rows, kernel.unsqueeze(3), groups=images.shape[1])


def build_network(variant: Variant) -> nn.Module:
    """An untrained oracle's network; always the same weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(0, f"oracle/{variant.name}"))
        return build_encoder(variant.channels, sum(variant.n_values), _ARCHITECTURE[variant.family])


def recipe(prepared: Prepared) -> dict[str, Any]:
    """All that shapes an oracle beside its images and the data seed."""
    return {
        "code": CODE_VERSION,
        "architecture": _ARCHITECTURE[prepared.variant.family].model_dump(mode="json"),
        "steps": _STEPS[prepared.variant.family],
        "batch": _BATCH,
        "rate": _RATE,
        "softening": _SOFTENING,
        "soft_sigma": _SOFT_SIGMA,
    }


def _softened_at_random(images: Tensor, generator: torch.Generator) -> Tensor:
    """A third each clean, blurred and noisy, so that decoded pictures are no foreign language."""
    third = len(images) // 3
    clean, little, much, noisy = images.tensor_split([third, third + third // 2, 2 * third])
    noised = (noisy + _SOFTENING["noise"] * noise_like(noisy, generator)).clamp(0, 1)
    blurred = blur(little, _SOFTENING["little"]), blur(much, _SOFTENING["much"])
    return torch.cat([clean, *blurred, noised])


def _measure(
    network: nn.Module, bank: ImageBank, test: np.ndarray, n_values: tuple[int, ...]
) -> tuple[float, float]:
    predicted: list[list[Tensor]] = [[], []]
    with torch.no_grad():
        for index in torch.from_numpy(test).split(500):
            images = bank.batch(index)
            predicted[0].append(_classify(network, images, n_values))
            predicted[1].append(_classify(network, blur(images, _SOFT_SIGMA), n_values))
    true = bank.values.cpu().numpy()[test]
    clean, soft = (factor_accuracy(torch.cat(part).cpu().numpy(), true) for part in predicted)
    return clean.joint, soft.joint


def _classify(network: nn.Module, images: Tensor, n_values: tuple[int, ...]) -> Tensor:
    logits = network(images).split(list(n_values), dim=1)
    return torch.stack([part.argmax(-1) for part in logits], dim=1)
