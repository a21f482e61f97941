"""The Ray cluster that trials run on: one of this machine's own, or one that is joined."""

import logging
import os
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import ray

from sweeps.cluster.nodes import largest_resources
from weakdis_core.errors import UserError

# glibc reads these when a process starts, so Ray sets them for trials. By default large tensors
# are returned to the system after every step, and their pages are cleared again in the next one.
ALLOCATOR = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": str(2**30),
    "MALLOC_TRIM_THRESHOLD_": str(2**32),
    "MALLOC_TOP_PAD_": str(2**26),
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
}

LOCAL = "local"
"""The address at which Ray starts a cluster of its own on this machine."""

_CONNECT_SECONDS = 10


@contextmanager
def cluster(address: str | None = None) -> Iterator[dict[str, float]]:
    """Start Ray on this machine or join it; yield the resources that it has or may grow to.

    Raises:
        UserError: There is no cluster at the address, or Ray did not start.
    """
    # Our own console shows failed trials; Tune would print their tracebacks.
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
        # On a busy machine, where Ray gives up waiting, the error is of no particular class.
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
    """Return the address given, else that of RAY_ADDRESS, else `LOCAL`."""
    # Without an address Ray would join the last cluster that this machine was part of.
    return address or os.environ.get("RAY_ADDRESS") or LOCAL


def _check_reachable(address: str) -> None:
    """Refuse an address where nothing listens; Ray itself would try for minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon or not port.isdigit():
        return
    try:
        socket.create_connection((host, int(port)), timeout=_CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise UserError(f"address: {address!r} is not allowed: no Ray there ({error})") from None


@contextmanager
def explain_wait(what: str, seconds: float = 60.0) -> Iterator[None]:
    """Print on stderr what the program waits for, if that takes longer than a minute."""
    line = f"waiting for {what}, for {seconds:.0f} seconds so far"
    timer = threading.Timer(seconds, lambda: print(line, file=sys.stderr, flush=True))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
