"""The oracle: a classifier of images that judges decoded pictures.

Trained once for each prepared variant on clean, blurred and noisy images of the train split with
all labels, and cached with its recipe and its accuracy on clean and on softened test images.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor, nn
from torch.nn import functional as F

from weakdis_core.checkpoint import read_checkpoint, write_checkpoint
from weakdis_core.config import DataSettings, ModelSettings
from weakdis_core.data.bank import ImageBank
from weakdis_core.data.splits import Splits, split
from weakdis_core.data.store import Prepared
from weakdis_core.devices import make_reproducible
from weakdis_core.errors import UserError
from weakdis_core.metrics.accuracy import factor_accuracy
from weakdis_core.models.encoders import build_encoder
from weakdis_core.seeding import derive, torch_generator
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
# A stored oracle must read images as it did; another machine may round another way now and then.
_CHECKED, _SAME = 64, 0.9


class _Unfit(Exception):
    """A stored oracle that has to be trained again."""


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
        network = copy.deepcopy(self.network).to(device)
        return Oracle(network, self.n_values, self.clean_accuracy, self.softened_accuracy)


def prepare_oracle(
    prepared: Prepared,
    data: DataSettings,
    device: torch.device | str = "cpu",
    progress: Callable[[int, int], None] | None = None,
) -> Oracle:
    """The cached oracle of a prepared variant, trained first if there is none.

    Args:
        prepared: The variant's images.
        data: Its settings; the data seed gives the splits.
        device: Where to train it.
        progress: Called with (steps done, steps in all).
    """
    path = _path(prepared, data.data_seed)
    # A finished oracle needs no lock: the cache may be somebody else's, or read-only.
    with suppress(UserError, _Unfit):
        return _load(path, prepared)
    with _locked(path):
        with suppress(UserError, _Unfit):
            return _load(path, prepared)
        splits = split(prepared.digests, data.data_seed)
        # What it reads is compared on a CPU when it is loaded.
        oracle = train_oracle(prepared, splits, device, progress).to(torch.device("cpu"))
        state = {
            "recipe": _recipe(prepared),
            "network": oracle.network.state_dict(),
            "clean_accuracy": oracle.clean_accuracy,
            "softened_accuracy": oracle.softened_accuracy,
            "reads": oracle.classify(_some_images(prepared)),
        }
        write_checkpoint(state, path)
    return oracle


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
    network = _build(prepared).to(device)
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


def _architecture(prepared: Prepared) -> ModelSettings:
    return _ARCHITECTURE[prepared.variant.family]


def _build(prepared: Prepared) -> nn.Module:
    variant = prepared.variant
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(0, f"oracle/{variant.name}"))
        return build_encoder(variant.channels, sum(variant.n_values), _architecture(prepared))


def _recipe(prepared: Prepared) -> dict[str, Any]:
    """All that shapes an oracle beside its images and the data seed."""
    return {
        "code": CODE_VERSION,
        "architecture": _architecture(prepared).model_dump(mode="json"),
        "steps": _STEPS[prepared.variant.family],
        "batch": _BATCH,
        "rate": _RATE,
        "softening": _SOFTENING,
        "soft_sigma": _SOFT_SIGMA,
    }


def _path(prepared: Prepared, data_seed: int) -> Path:
    folder = prepared.path.parent.parent / "oracles"
    digest = hashlib.sha256(json.dumps(_recipe(prepared), sort_keys=True).encode()).hexdigest()
    return folder / f"{prepared.path.name}-seed{data_seed}-{digest[:8]}.pt"


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path.with_suffix(".lock"))
        lock.acquire()
    except OSError as error:
        raise UserError(f"{path.parent}: cannot be written ({error.strerror or error})") from None
    try:
        yield
    finally:
        lock.release()


def _load(path: Path, prepared: Prepared) -> Oracle:
    """The stored oracle, if it still reads images as it did when it was stored.

    Raises:
        UserError: There is none.
        _Unfit: It does not: one that is misread judges everything wrongly.
    """
    state = read_checkpoint(path)
    network = _build(prepared)
    try:
        network.load_state_dict(state["network"])
        accuracies, reads = (state["clean_accuracy"], state["softened_accuracy"]), state["reads"]
    except (KeyError, RuntimeError):
        # Of another layout.
        raise _Unfit from None
    network.eval().requires_grad_(False)
    oracle = Oracle(network, prepared.variant.n_values, *accuracies)
    same = (oracle.classify(_some_images(prepared)) == reads).all(1).float().mean()
    if same < _SAME:
        raise _Unfit
    return oracle


def _some_images(prepared: Prepared) -> Tensor:
    """A few images from all over the variant, `(_CHECKED, channels, 64, 64)`."""
    rows = np.linspace(0, len(prepared.images) - 1, _CHECKED).astype(np.int64)
    return ImageBank(prepared, torch.device("cpu")).batch(torch.from_numpy(rows))


def _softened_at_random(images: Tensor, generator: torch.Generator) -> Tensor:
    """A third each clean, blurred and noisy, so that decoded pictures are no foreign language."""
    third = len(images) // 3
    clean, little, much, noisy = images.tensor_split([third, third + third // 2, 2 * third])
    noise = torch.randn(noisy.shape, generator=generator, device=images.device)
    noised = (noisy + _SOFTENING["noise"] * noise).clamp(0, 1)
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
