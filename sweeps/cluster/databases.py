"""The first opening of a database, which creates its tables.

MLflow and Optuna look which tables exist, then create the others, without a lock.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote

from filelock import FileLock

from sweeps.cluster.addresses import scheme_of
from sweeps.cluster.locks import lock_database

Opened = TypeVar("Opened")


def open_database(address: str, open_address: Callable[[str], Opened]) -> Opened:
    """Open a database while no other process creates its tables.

    A file gets its name once it has all tables, so a process that is killed leaves no part of one.

    Args:
        address: Address of the database; that of an MLflow server is opened as it is.
        open_address: Opens an address and creates the missing tables.
    """
    scheme = scheme_of(address)
    if scheme == "postgresql":
        with lock_database(address, "tables"):
            return open_address(address)
    if scheme == "sqlite":
        _create_file(address, open_address)
    return open_address(address)


def _create_file(address: str, open_address: Callable[[str], object]) -> None:
    """Create the file of an address, unless it exists or the database is in memory."""
    place, _, options = address.partition("?")
    # SQLAlchemy decodes the path.
    name = unquote(place.partition(":///")[2])
    if name in ("", ":memory:") or Path(name).exists():
        return
    with FileLock(f"{name}.lock"):
        if not Path(name).exists():
            partial = Path(f"{name}.partial")
            partial.unlink(missing_ok=True)
            open_address(f"{place}.partial" + (f"?{options}" if options else ""))
            partial.rename(name)
