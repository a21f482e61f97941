"""The device and the floating point precision of a run."""

import os
import platform
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import torch

from weakdis_core.config.settings import RuntimeSettings
from weakdis_core.errors import UserError

Autocast = AbstractContextManager[object]

FULL_PRECISION: Autocast = nullcontext()
"""Context of float32 arithmetic."""


def processor() -> str:
    """Return the name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def make_reproducible(device: torch.device) -> None:
    """Make a GPU compute deterministically and in full float32, as a CPU does.

    This applies to the whole process. An operation without a deterministic implementation raises
    RuntimeError. See https://docs.pytorch.org/docs/stable/notes/randomness.html.
    """
    if device.type == "cuda":
        # cuBLAS is deterministic only with a workspace of a fixed size.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
        # By default, float32 convolutions use TF32: 10 of the 23 bits of the mantissa.
        torch.backends.cudnn.allow_tf32 = False


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one CPU thread, so that results do not depend on the number of processors."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def flush_denormals() -> Iterator[None]:
    """Round denormal numbers to zero on the calling thread.

    Processors compute with them many times more slowly. The gradients and moments of a loss that
    has nearly vanished are full of them.
    """
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        # Otherwise NumPy warns in the caller's code that its smallest number is zero.
        torch.set_flush_denormal(False)


def apply_runtime(settings: RuntimeSettings) -> tuple[torch.device, Autocast]:
    """Set the number of CPU threads; return the device and the autocast context of a run.

    Raises:
        UserError: This machine does not have the device.
    """
    torch.set_num_threads(settings.threads)
    device = _resolve_device(settings.device)
    make_reproducible(device)
    bfloat16 = settings.precision == "bfloat16"
    if settings.precision == "auto":
        bfloat16 = device.type == "cuda" and torch.cuda.is_bf16_supported()
    return device, torch.autocast(device.type, torch.bfloat16) if bfloat16 else FULL_PRECISION


def _resolve_device(name: str) -> torch.device:
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
