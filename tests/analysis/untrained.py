"""Checkpoints of untrained models, for tests that only load them."""

from __future__ import annotations

from pathlib import Path

import torch

from tests.core.conftest import small_config
from weakdis_core.checkpoint import write_checkpoint
from weakdis_core.data.variants import get_variant
from weakdis_core.models.networks import Networks


def untrained(variant: str, path: Path) -> Path:
    """Write the checkpoint of a small untrained model, and return its path."""
    config = small_config(variant)
    networks = Networks(get_variant(variant), config, torch.device("cpu"))
    write_checkpoint({"config": config.to_dict(), "networks": networks.state_dict()}, path)
    return path
