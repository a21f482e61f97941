"""Checkpoint files: one file each, written atomically, with the version of the core."""

import io
from pathlib import Path
from typing import Any

import torch

from weakdis_core.config.config import Config, validated
from weakdis_core.errors import UserError
from weakdis_core.files import write_bytes
from weakdis_core.version import CODE_VERSION


def write_checkpoint(state: dict[str, Any], path: Path) -> None:
    """Write a checkpoint file atomically.

    Raises:
        UserError: The folder cannot be written or is full.
    """
    buffer = io.BytesIO()
    torch.save({"core": CODE_VERSION, **state}, buffer)
    write_bytes(path, buffer.getvalue())


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint file onto the CPU.

    It unpickles tensors and plain values only, so an untrusted file cannot run code.

    Raises:
        UserError: The file is missing, damaged, no checkpoint, or of another version of the core.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such checkpoint file")
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        # Files of version 2 and earlier have another key.
        found = state["core"] if "schema" not in state else "2 or earlier"
    except Exception as error:  # torch raises a different type for each kind of damage
        reason = (str(error) or type(error).__name__).splitlines()[0]
        if "weights_only" in reason:
            reason = "not of torch's format"  # torch's own message advises unsafe loading
        raise UserError(f"{path}: truncated or not a weakdis checkpoint ({reason})") from None
    if found != CODE_VERSION:
        raise UserError(
            f"{path}: written by version {found} of the core, and this is version {CODE_VERSION}; "
            "serve its registered model, which has its own code, or use that version of weakdis"
        )
    return state


def saved_config(state: dict[str, Any], path: Path) -> Config:
    """Return the settings in a checkpoint's state.

    Raises:
        UserError: The state has no settings (an oracle's has none), or this version rejects them.
    """
    if "config" not in state:
        raise UserError(f"{path}: holds no settings; it is no checkpoint of a training run")
    try:
        return validated(state["config"])
    except UserError as error:
        raise UserError(f"{path}: written by another version: {error}") from None
