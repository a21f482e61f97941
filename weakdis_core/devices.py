"""Where and how precisely a run computes."""

import os
import platform
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch

from weakdis_core.config.settings import RuntimeSettings
from weakdis_core.errors import UserError

Autocast = AbstractContextManager[object]

FULL_PRECISION: Autocast = nullcontext()
"""Arithmetic as it comes: float32."""


def resolve_device(name: str) -> torch.device:
    """The device a setting names; `auto` is the GPU where there is one.

    Raises:
        UserError: No such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")
    if device.type not in {"cpu", "cuda"}:
        raise UserError(f"runtime.device: {name!r} is not one of auto, cpu, cuda, cuda:N")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UserError(f"runtime.device: {name!r}: {torch.cuda.device_count()} GPUs found here")
    return device


def processor() -> str:
    """The processor's name, as /proc gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def make_reproducible(device: torch.device) -> None:
    """Have a GPU compute the same numbers every time, and in float32, as a CPU does by itself.

    It holds for the whole process, and an operation that cannot be had so raises RuntimeError. See
    https://docs.pytorch.org/docs/stable/notes/randomness.html.
    """
    if device.type == "cuda":
        # cuBLAS adds up in a fixed order only with a workspace of a fixed size.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
        # Else convolutions that are to be in float32 keep 10 bits of its 23.
        torch.backends.cudnn.allow_tf32 = False


def apply_runtime(settings: RuntimeSettings) -> tuple[torch.device, Autocast]:
    """Set the number of CPU threads, and give the device and the autocast context of a run.

    Raises:
        UserError: The device is not to be had here.
    """
    torch.set_num_threads(settings.threads)
    device = resolve_device(settings.device)
    make_reproducible(device)
    wanted = settings.precision
    if wanted == "auto":
        capable = device.type == "cuda" and torch.cuda.is_bf16_supported()
        wanted = "bfloat16" if capable else "float32"
    if wanted == "float32":
        return device, FULL_PRECISION
    return device, torch.autocast(device.type, torch.bfloat16)
