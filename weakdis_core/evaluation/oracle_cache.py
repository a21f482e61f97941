"""The cache of oracles: a file for each set of prepared images, data seed and recipe."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor

from weakdis_core.checkpoint import read_checkpoint, write_checkpoint
from weakdis_core.config.settings import DataSettings
from weakdis_core.data.bank import ImageBank
from weakdis_core.data.plan import Plan
from weakdis_core.data.prepared import Prepared
from weakdis_core.data.splits import splits_of
from weakdis_core.errors import UserError
from weakdis_core.evaluation.oracle import Oracle, build_network, recipe, train_oracle

# A stored oracle must read this share of so many images as it did. Rounding differs by machine.
_CHECKED, _SAME = 64, 0.9


def prepare_oracle(
    prepared: Prepared,
    data: DataSettings,
    device: torch.device | str = "cpu",
    progress: Callable[[int, int], None] | None = None,
) -> Oracle:
    """Return the cached oracle of a prepared variant; train it on `device` if there is none.

    The data seed determines the splits. `progress` is called with (steps done, all steps).

    Raises:
        UserError: The cache cannot be written.
    """
    path = oracle_path(prepared, data.data_seed)
    # Read without the lock first: the cache may be read-only.
    if (oracle := _load(path, prepared)) is not None:
        return oracle
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path.with_suffix(".lock")).acquire()
    except OSError as error:
        raise UserError(f"{path.parent}: cannot be written ({error.strerror or error})") from None
    with lock:
        if (oracle := _load(path, prepared)) is not None:
            return oracle
        splits = splits_of(prepared, data.data_seed)
        # `_load` compares the values that it reads on a CPU.
        oracle = train_oracle(prepared, splits, device, progress).to(torch.device("cpu"))
        state = {
            "recipe": recipe(prepared.variant.family),
            "network": oracle.network.state_dict(),
            "clean_accuracy": oracle.clean_accuracy,
            "softened_accuracy": oracle.softened_accuracy,
            "validation_accuracy": oracle.validation_accuracy,
            "reads": oracle.classify(_sample_images(prepared)),
        }
        write_checkpoint(state, path)
    return oracle


def oracle_path(images: Prepared | Plan, data_seed: int) -> Path:
    """Return the file of the cached oracle of a prepared variant."""
    text = json.dumps(recipe(images.variant.family), sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()
    folder = images.path.parent.parent / "oracles"
    return folder / f"{images.path.name}-seed{data_seed}-{digest[:8]}.pt"


def _load(path: Path, prepared: Prepared) -> Oracle | None:
    """Return the stored oracle, unless it is missing or reads images differently than before."""
    network = build_network(prepared.variant)
    try:
        state = read_checkpoint(path)
        network.load_state_dict(state["network"])
        kinds = ("clean", "softened", "validation")
        accuracies = [state[f"{kind}_accuracy"] for kind in kinds]
        reads = state["reads"]
    except (UserError, KeyError, RuntimeError):
        # The file is missing, damaged or of another layout.
        return None
    network.eval().requires_grad_(False)
    oracle = Oracle(network, prepared.variant.n_values, *accuracies)
    same = (oracle.classify(_sample_images(prepared)) == reads).all(1).float().mean()
    return oracle if same >= _SAME else None


def _sample_images(prepared: Prepared) -> Tensor:
    """Return evenly spaced images of the variant, `(_CHECKED, channels, 64, 64)`."""
    rows = np.linspace(0, len(prepared.images) - 1, _CHECKED).astype(np.int64)
    return ImageBank(prepared, torch.device("cpu")).batch(torch.from_numpy(rows))
