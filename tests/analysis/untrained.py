"""Checkpoints of untrained models, for tests that only load them."""

from __future__ import annotations

from pathlib import Path

import torch

from tests.core.conftest import small_config
from weakdis_core.checkpoint import write_checkpoint
from weakdis_core.data.variants import get_variant
from weakdis_core.models.networks import Networks
from weakdis_core.priors.fitting import fit_prior
from weakdis_core.seeding import torch_generator


def untrained(variant: str, path: Path, lowest_density: float | None = None) -> Path:
    """Write the checkpoint of a small untrained model, and return its path."""
    config = small_config(variant)
    networks = Networks(get_variant(variant), config, torch.device("cpu"))
    n_values = torch.tensor(get_variant(variant).n_values)
    values = torch.arange(60).unsqueeze(1) % n_values
    model = networks.autoencoder
    codes = torch.randn(60, model.partitions, model.latent, generator=torch_generator(0, "codes"))
    prior = fit_prior(codes, values, n_values, int(n_values.max()), config.loss)
    state = {
        "config": config.to_dict(),
        "networks": networks.state_dict(),
        "prior": vars(prior),
        "lowest_density": lowest_density,
    }
    write_checkpoint(state, path)
    return path
