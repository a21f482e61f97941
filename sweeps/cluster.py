"""Ray: start or join it, and divide the machine between trials."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from math import floor
from pathlib import Path

import yaml

from sweeps.events import waits_explained
from sweeps.settings import SweepSettings
from weakdis_core.errors import UserError

# glibc reads these when a process starts, so trials get them from Ray. By default large tensors
# are returned to the system after every step and their pages are cleared again in the next one.
ALLOCATOR = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": str(2**30),
    "MALLOC_TRIM_THRESHOLD_": str(2**32),
    "MALLOC_TOP_PAD_": str(2**26),
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
}

BOOTSTRAP_FILE = Path("~/ray_bootstrap_config.yaml")
"""Where `ray up` leaves the cluster file on the head, for Ray's autoscaler."""

LOCAL = "local"
"""The address that stands for a Ray of our own on this machine."""

DEFAULT_GPU_SHARE = 0.25
_CONNECT_SECONDS = 10


@dataclass(frozen=True)
class Allotment:
    """What a trial gets, and how many run at once."""

    cpus: float
    gpus: float
    concurrent: int


@contextmanager
def cluster(address: str | None = None) -> Iterator[dict[str, float]]:
    """Ray, started on this machine or joined, with the resources that it has or may grow to.

    Raises:
        UserError: There is no cluster at the address given, or none could be started.
    """
    import ray

    # Failed trials are shown by our own console; Tune would print their tracebacks.
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    address = address_of(address)
    _check_reachable(address)
    try:
        with waits_explained(f"Ray at the address {address}"):
            ray.init(
                address,
                runtime_env={"env_vars": ALLOCATOR},
                log_to_driver=False,
                logging_level=logging.ERROR,
                include_dashboard=False if address == LOCAL else None,
            )
    except Exception as error:
        # Of no particular kind where a busy machine takes longer to start it than Ray waits.
        reason = str(error).splitlines()[0]
        if address == LOCAL:
            raise UserError(f"address: Ray did not start on this machine ({reason})") from None
        raise UserError(f"address: {address!r} is not allowed: no Ray there ({reason})") from None
    try:
        there = ray.cluster_resources()  # type: ignore[no-untyped-call]
        yield dict(there) if address == LOCAL else grown(there)
    finally:
        ray.shutdown()


def address_of(address: str | None) -> str:
    """Where to join Ray: what is given, else what RAY_ADDRESS says, else a Ray of our own."""
    # Without an address Ray would join whatever cluster this machine last saw.
    return address or os.environ.get("RAY_ADDRESS") or LOCAL


def _check_reachable(address: str) -> None:
    """Ray tries an address that nobody answers for minutes before it says so."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon or not port.isdigit():
        return
    try:
        socket.create_connection((host, int(port)), timeout=_CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise UserError(f"address: {address!r} is not allowed: no Ray there ({error})") from None


def allot(
    settings: SweepSettings, available: Mapping[str, float], grows: bool = False
) -> Allotment:
    """Divide what there is: a core a trial; with GPUs, a quarter of one a trial.

    Args:
        settings: What the user asked for.
        available: Ray's resources, `CPU` and `GPU` among them.
        grows: Whether more may come than is known: then whoever says how many trials are to run
            at once is believed.

    Raises:
        UserError: A trial asks for more than there is.
    """
    all_cpus, all_gpus = available.get("CPU", 0.0), available.get("GPU", 0.0)
    gpus = settings.gpus_per_trial
    if grows and settings.max_concurrent is not None:
        all_cpus = max(all_cpus, (settings.cpus_per_trial or 1.0) * settings.max_concurrent)
        all_gpus = max(all_gpus, (gpus or 0.0) * settings.max_concurrent)
    if gpus is None:
        gpus = DEFAULT_GPU_SHARE if all_gpus else 0.0
    if gpus > all_gpus:
        raise UserError(f"gpus_per_trial: {gpus:g} is not allowed: there are {all_gpus:g} GPUs")
    by_gpu = floor(all_gpus / gpus + 1e-9) if gpus else None
    cpus = settings.cpus_per_trial
    if cpus is None:
        cpus = 1.0 if by_gpu is None else min(1.0, all_cpus / by_gpu)
    if cpus > all_cpus:
        raise UserError(f"cpus_per_trial: {cpus:g} is not allowed: there are {all_cpus:g} CPUs")
    fitting = floor(all_cpus / cpus + 1e-9)
    if by_gpu is not None:
        fitting = min(fitting, by_gpu)
    return Allotment(cpus, gpus, max(1, min(fitting, settings.max_concurrent or fitting)))


def grown(available: Mapping[str, float], file: Path = BOOTSTRAP_FILE) -> dict[str, float]:
    """The resources of a cluster when all machines of its cluster file have come.

    A cluster that `ray up` did not start has no file: of it only what is there counts.
    """
    most: dict[str, float] = {}
    for count, resources in machine_kinds(file):
        for name, amount in resources.items():
            most[name] = most.get(name, 0.0) + count * float(amount)
    return {
        name: max(available.get(name, 0.0), most.get(name, 0.0)) for name in {*available, *most}
    }


def machine_kinds(file: Path = BOOTSTRAP_FILE) -> list[tuple[int, dict[str, float]]]:
    """Kinds of machines in a cluster file: the most of each, and the resources of one."""
    try:
        config = yaml.safe_load(file.expanduser().read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return []
    if not isinstance(config, dict):
        return []
    known = config.get("available_node_types") or {}
    head = config.get("head_node_type")
    # The limit of the cluster holds for all kinds together: the first ones use it up.
    left = int(config.get("max_workers") or 0)
    machines: list[tuple[int, dict[str, float]]] = []
    by_size = sorted(
        known.items(), key=lambda kind: -float((kind[1].get("resources") or {}).get("GPU", 0))
    )
    for name, kind in by_size:
        workers = min(left, int(kind.get("max_workers", 0 if name == head else left)))
        left -= workers
        machines.append((workers + (name == head), kind.get("resources") or {}))
    return machines
