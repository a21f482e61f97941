"""Ray: start or join it, and divide the machine between trials."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from sweeps.cluster.autoscaler import largest_resources
from sweeps.cluster.waits import explain_wait
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

LOCAL = "local"
"""The address that stands for a Ray of our own on this machine."""

_CONNECT_SECONDS = 10


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
        with explain_wait(f"Ray at the address {address}"):
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
        yield dict(there) if address == LOCAL else largest_resources(there)
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
