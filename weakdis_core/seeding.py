"""One seed, many named generators: every random draw of the project comes from one of these."""

from __future__ import annotations

import hashlib

import numpy as np
import torch


def derive(seed: int, name: str) -> int:
    """A 63-bit seed for the stream called `name`, independent of every other name's.

    Args:
        seed: The experiment's seed.
        name: Name of the stream; the same pair always gives the same number on every machine.
    """
    digest = hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def torch_generator(seed: int, name: str, device: torch.device | str = "cpu") -> torch.Generator:
    """A torch generator for the stream `name`, on `device`."""
    generator = torch.Generator(device=device)
    generator.manual_seed(derive(seed, name))
    return generator


def numpy_generator(seed: int, name: str) -> np.random.Generator:
    """A numpy generator for the stream `name`."""
    return np.random.default_rng(derive(seed, name))
