"""One program runs a sweep at a time: locks that go with their holder, whatever ends it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from weakdis_core.errors import UserError

_LOCK_FILE = ".lock"

# A machine that vanishes says no goodbye: the server asks after it, and gives it up in a minute.
_KEEPALIVES = {"tcp_keepalives_idle": 30, "tcp_keepalives_interval": 10, "tcp_keepalives_count": 3}


@contextmanager
def claimed(folder: Path, studies: str | None = None) -> Iterator[None]:
    """Hold a sweep: one process runs it at a time.

    Args:
        folder: The sweep's folder. A lock in it keeps out processes of this machine.
        studies: Database of its study, if that is not in the folder. A lock in PostgreSQL keeps
            out those of other machines; in other databases none would go with its holder.

    Raises:
        UserError: Another process holds it.
    """
    with ExitStack() as held:
        # On a machine without the folder nobody has begun.
        free = not folder.exists() or _lock_folder(folder, held)
        if free and studies is not None and studies.startswith("postgres"):
            free = _lock_study(studies, folder.name, held)
        if not free:
            raise UserError(f"name: the sweep {folder.name!r} is running already")
        yield


def is_running(folder: Path, studies: str | None = None) -> bool:
    """Whether a process holds the sweep of this folder."""
    try:
        with claimed(folder, studies):
            return False
    except UserError:
        return True


def _lock_folder(folder: Path, held: ExitStack) -> bool:
    try:
        held.enter_context(FileLock(folder / _LOCK_FILE, timeout=0))
    except Timeout:
        return False
    return True


def _lock_study(studies: str, name: str, held: ExitStack) -> bool:
    """Lock a study for as long as a connection of our own lasts."""
    from sqlalchemy import NullPool, create_engine, text

    # Without a transaction, which the server might end as idle; and where the connection is cut
    # there is nothing to roll back.
    engine = create_engine(
        studies, isolation_level="AUTOCOMMIT", poolclass=NullPool, pool_reset_on_return=None
    )
    connection = held.enter_context(engine.connect())
    for setting, value in _KEEPALIVES.items():
        connection.execute(text(f"set {setting} = {value}"))
    key = int.from_bytes(hashlib.sha256(f"weakdis/{name}".encode()).digest()[:8], signed=True)
    return bool(connection.scalar(text("select pg_try_advisory_lock(:key)"), {"key": key}))
