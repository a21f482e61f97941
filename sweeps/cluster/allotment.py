"""How the CPUs and GPUs of a cluster are divided between trials."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import floor

from weakdis_core.errors import UserError

DEFAULT_GPU_SHARE = 0.25


@dataclass(frozen=True)
class Demand:
    """What a user asks for; None leaves the choice to `allot`.

    Attributes:
        cpus: CPUs of a trial.
        gpus: GPUs of a trial.
        concurrent: Most trials at once.
    """

    cpus: float | None = None
    gpus: float | None = None
    concurrent: int | None = None


@dataclass(frozen=True)
class Allotment:
    """What a trial gets, and how many run at once."""

    cpus: float
    gpus: float
    concurrent: int


def allot(demand: Demand, available: Mapping[str, float], grows: bool = False) -> Allotment:
    """Divide what there is: a core a trial; with GPUs, a quarter of one a trial.

    Args:
        demand: What the user asks for.
        available: Ray's resources, `CPU` and `GPU` among them.
        grows: Whether more may come than is known: then whoever says how many trials are to run
            at once is believed.

    Raises:
        UserError: A trial asks for more than there is.
    """
    all_cpus, all_gpus = available.get("CPU", 0.0), available.get("GPU", 0.0)
    gpus = demand.gpus
    if grows and demand.concurrent is not None:
        all_cpus = max(all_cpus, (demand.cpus or 1.0) * demand.concurrent)
        all_gpus = max(all_gpus, (gpus or 0.0) * demand.concurrent)
    if gpus is None:
        gpus = DEFAULT_GPU_SHARE if all_gpus else 0.0
    if gpus > all_gpus:
        raise UserError(f"gpus_per_trial: {gpus:g} is not allowed: there are {all_gpus:g} GPUs")
    by_gpu = floor(all_gpus / gpus + 1e-9) if gpus else None
    cpus = demand.cpus
    if cpus is None:
        cpus = 1.0 if by_gpu is None else min(1.0, all_cpus / by_gpu)
    if cpus > all_cpus:
        raise UserError(f"cpus_per_trial: {cpus:g} is not allowed: there are {all_cpus:g} CPUs")
    fitting = floor(all_cpus / cpus + 1e-9)
    if by_gpu is not None:
        fitting = min(fitting, by_gpu)
    return Allotment(cpus, gpus, max(1, min(fitting, demand.concurrent or fitting)))
