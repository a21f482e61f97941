"""How the CPUs and GPUs of a cluster are divided between trials."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import floor

from weakdis_core.errors import UserError

DEFAULT_GPU_SHARE = 0.25


@dataclass(frozen=True)
class Allotment:
    """The CPUs and GPUs of a trial, and how many trials run at once."""

    cpus: float
    gpus: float
    concurrent: int


def allot(
    available: Mapping[str, float],
    cpus: float | None = None,
    gpus: float | None = None,
    concurrent: int | None = None,
    grows: bool = False,
) -> Allotment:
    """Divide the resources: by default one CPU a trial, and where there are GPUs a quarter of one.

    Args:
        available: Ray's resources, `CPU` and `GPU` among them.
        cpus: CPUs of a trial.
        gpus: GPUs of a trial.
        concurrent: Most trials at once.
        grows: Whether the cluster may get more machines. Then it is assumed to have room for
            `concurrent` trials.

    Raises:
        UserError: A trial asks for more than there is.
    """
    all_cpus, all_gpus = available.get("CPU", 0.0), available.get("GPU", 0.0)
    if grows and concurrent is not None:
        all_cpus = max(all_cpus, (cpus or 1.0) * concurrent)
        all_gpus = max(all_gpus, (gpus or 0.0) * concurrent)
    if gpus is None:
        gpus = DEFAULT_GPU_SHARE if all_gpus else 0.0
    if gpus > all_gpus:
        raise UserError(f"gpus_per_trial: {gpus:g} is not allowed: there are {all_gpus:g} GPUs")
    by_gpu = floor(all_gpus / gpus + 1e-9) if gpus else None
    if cpus is None:
        cpus = min(1.0, all_cpus / by_gpu) if by_gpu else 1.0
    if cpus > all_cpus:
        raise UserError(f"cpus_per_trial: {cpus:g} is not allowed: there are {all_cpus:g} CPUs")
    fitting = floor(all_cpus / cpus + 1e-9)
    limits = [each for each in (fitting, by_gpu, concurrent) if each is not None]
    return Allotment(cpus, gpus, max(1, min(limits)))
