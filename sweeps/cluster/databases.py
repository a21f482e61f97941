"""The first opening of a database, which makes its tables: one process at a time, all or nothing.

MLflow and Optuna look which tables there are, then make the rest, and hold no lock meanwhile.
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
    """Open a database, so that nobody else makes its tables meanwhile.

    A file gets its name when it has all tables: a process that is killed before leaves none.

    Args:
        address: Address of the database; that of a server of MLflow is opened as it is.
        open_address: Opens an address, and makes the tables that are missing.
    """
    scheme = scheme_of(address)
    if scheme == "sqlite":
        _make(address, open_address)
    elif scheme == "postgresql":
        with lock_database(address, "tables"):
            return open_address(address)
    return open_address(address)


def _make(address: str, open_address: Callable[[str], object]) -> None:
    """Make the file of an address, unless it is there or the database lies in memory."""
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
