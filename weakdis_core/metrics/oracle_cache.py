"""The oracle's cache: one file beside the prepared images for each way of training it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor

from weakdis_core.checkpoint import read_checkpoint, write_checkpoint
from weakdis_core.data.bank import ImageBank
from weakdis_core.data.splits import split
from weakdis_core.data.store import Prepared
from weakdis_core.errors import UserError
from weakdis_core.metrics.oracle import Oracle, build_network, recipe, train_oracle
from weakdis_core.settings import DataSettings

# A stored oracle must read images as it did; another machine may round another way now and then.
_CHECKED, _SAME = 64, 0.9


class _Unfit(Exception):
    """A stored oracle that has to be trained again."""


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
            "recipe": recipe(prepared),
            "network": oracle.network.state_dict(),
            "clean_accuracy": oracle.clean_accuracy,
            "softened_accuracy": oracle.softened_accuracy,
            "reads": oracle.classify(_some_images(prepared)),
        }
        write_checkpoint(state, path)
    return oracle


def _path(prepared: Prepared, data_seed: int) -> Path:
    folder = prepared.path.parent.parent / "oracles"
    digest = hashlib.sha256(json.dumps(recipe(prepared), sort_keys=True).encode()).hexdigest()
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
    network = build_network(prepared.variant)
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
