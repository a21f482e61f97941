"""One seed, many named generators: every random draw of the project comes from one of these."""

import hashlib

import numpy as np
import torch


def derive(seed: int, name: str) -> int:
    """A 63-bit seed for the stream called `name`, independent of every other name's.

    The same pair gives the same number on every machine.
    """
    digest = hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def torch_generator(seed: int, name: str, device: torch.device | str = "cpu") -> torch.Generator:
    """A torch generator for the stream `name`, on `device`."""
    return torch.Generator(device=device).manual_seed(derive(seed, name))


def noise_like(tensor: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Standard normal noise of a tensor's shape, type and device."""
    return torch.randn(tensor.shape, generator=generator, device=tensor.device, dtype=tensor.dtype)


def numpy_generator(seed: int, name: str) -> np.random.Generator:
    """A numpy generator for the stream `name`."""
    return np.random.default_rng(derive(seed, name))
