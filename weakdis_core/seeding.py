"""Named random generators derived from one seed. All random draws of the project use them."""

import hashlib

import numpy as np
import torch


def derive(seed: int, name: str) -> int:
    """Derive a 63-bit seed for the stream `name`, the same on every machine."""
    digest = hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def torch_generator(seed: int, name: str, device: torch.device | str = "cpu") -> torch.Generator:
    """Create the torch generator of the stream `name` on `device`."""
    return torch.Generator(device=device).manual_seed(derive(seed, name))


def noise_like(tensor: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Draw standard normal noise with the shape, type and device of a tensor."""
    return torch.randn(tensor.shape, generator=generator, device=tensor.device, dtype=tensor.dtype)


def numpy_generator(seed: int, name: str) -> np.random.Generator:
    """Create the NumPy generator of the stream `name`."""
    return np.random.default_rng(derive(seed, name))
