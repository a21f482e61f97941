"""One program runs a sweep at a time: locks that go with their holder, whatever ends it."""

from __future__ import annotations

import fcntl
import hashlib
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from sweeps.cluster.addresses import explain_errors
from sweeps.trial import Listener
from weakdis_core.errors import UserError

# Takes a moment to load, and most sweeps do without.
if TYPE_CHECKING:
    from sqlalchemy import Connection

_LOCK_FILE = ".lock"
# Seconds; who only looks whether a folder is locked locks it for a moment.
_PATIENCE = 0.5
# Seconds between looks at a lock that is held.
_EVERY = 5.0

# A machine that vanishes says no goodbye: the server asks after it, and gives it up in a minute.
_KEEPALIVES = {"tcp_keepalives_idle": 30, "tcp_keepalives_interval": 10, "tcp_keepalives_count": 3}
_TAKE = "select pg_try_advisory_lock(:key)"
# Names of the connections that hold a lock: one or none.
_HOLDERS = """
    select application_name from pg_locks left join pg_stat_activity using (pid)
    where locktype = 'advisory' and granted and objsubid = 1
    and database = (select oid from pg_database where datname = current_database())
    and (classid::bigint << 32 | objid::bigint) = :key
"""


class StudyLock(Listener):
    """A study's lock in PostgreSQL, which lasts as long as a connection of its own.

    Where that is cut, by a restart of the server or by a router, the study goes on with a new
    connection, and so does this one, at every step of the sweep.

    Args:
        name: Name of the study.
        studies: Its database. In others than PostgreSQL no lock would go with its holder: there,
            as without one, nothing is held.
    """

    def __init__(self, name: str = "", studies: str | None = None) -> None:
        self._name = name
        self._studies = _with_locks(studies)
        self._us = f"weakdis-{uuid.uuid4().hex}"
        self._connection: Connection | None = None
        self._looked = time.monotonic()

    def take(self) -> bool:
        """Take the lock, on a new connection; whether it is ours."""
        if self._studies is None:
            return True
        from sqlalchemy import text

        self.release()
        connection = _connect(self._studies, self._us)
        for setting, value in _KEEPALIVES.items():
            connection.execute(text(f"set {setting} = {value}"))
        if connection.scalar(text(_TAKE), {"key": _key(self._name)}):
            self._connection = connection
            return True
        with connection:
            # The server may not know yet that our last connection was cut.
            return self._us in _holders(connection, self._name)

    def release(self) -> None:
        """Let the lock go."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def step_started(self) -> None:
        """Look at the lock from time to time."""
        if time.monotonic() - self._looked > _EVERY:
            self.check()

    def session_ended(self) -> None:
        """Look at it before other listeners store how trials ended."""
        self.check()

    def check(self) -> None:
        """Take the lock again where its connection was cut.

        Raises:
            UserError: Another program has it.
        """
        from sqlalchemy.exc import DBAPIError

        self._looked = time.monotonic()
        try:
            ours = self._is_connected() or self.take()
        except DBAPIError:
            # Not back yet: if it stays away, the study says so.
            return
        if not ours:
            raise UserError(
                f"name: another program has taken over the sweep {self._name!r}, as the database "
                "was away; this one ends"
            )

    def _is_connected(self) -> bool:
        from sqlalchemy import text
        from sqlalchemy.exc import DBAPIError

        try:
            return self._connection is not None and self._connection.scalar(text("select true"))
        except DBAPIError:
            return False


@contextmanager
def acquire_sweep_lock(folder: Path, studies: str | None = None) -> Iterator[StudyLock]:
    """Hold a sweep: one process runs it at a time.

    Args:
        folder: The sweep's folder. A lock in it keeps out processes of this machine.
        studies: Database of its study, if that is not in the folder. A lock in PostgreSQL keeps
            out those of other machines.

    Raises:
        UserError: Another process holds it, or the folder cannot be written.
    """
    with ExitStack() as held:
        claim = StudyLock(folder.name, studies)
        held.callback(claim.release)
        # On a machine without the folder nobody has begun.
        free = not folder.exists() or _lock_folder(folder, held)
        with explain_errors("optuna_storage", studies or ""):
            free = free and claim.take()
        if not free:
            raise UserError(f"name: the sweep {folder.name!r} is running already")
        yield claim


@contextmanager
def lock_database(database: str, purpose: str) -> Iterator[None]:
    """Wait until no other process uses a PostgreSQL database for a purpose, and hold it so."""
    from sqlalchemy import text

    with _connect(database) as connection:
        connection.execute(text("select pg_advisory_lock(:key)"), {"key": _key(purpose)})
        yield


def is_running(folder: Path, studies: str | None = None) -> bool:
    """Whether a process holds the sweep of this folder; one may begin while this looks."""
    if _is_locked(folder):
        return True
    database = _with_locks(studies)
    if database is None:
        return False
    with explain_errors("optuna_storage", database), _connect(database) as connection:
        return bool(_holders(connection, folder.name))


def _lock_folder(folder: Path, held: ExitStack) -> bool:
    file = folder / _LOCK_FILE
    try:
        held.enter_context(FileLock(file, timeout=_PATIENCE))
    except Timeout:
        return False
    except OSError as error:
        raise UserError(f"{file}: cannot be written ({error.strerror})") from None
    return True


def _is_locked(folder: Path) -> bool:
    # Not as the lock is taken, which writes: others' folders can be looked at too.
    try:
        with (folder / _LOCK_FILE).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _with_locks(studies: str | None) -> str | None:
    """A database, if it has locks that go with their holder."""
    return studies if studies is not None and studies.startswith("postgres") else None


def _connect(studies: str, us: str = "weakdis") -> Connection:
    from sqlalchemy import NullPool, create_engine

    # Without a transaction, which the server might end as idle; and where the connection is cut
    # there is nothing to roll back.
    engine = create_engine(
        studies, isolation_level="AUTOCOMMIT", poolclass=NullPool, pool_reset_on_return=None,
        connect_args={"application_name": us},
    )  # fmt: skip
    return engine.connect()


def _holders(connection: Connection, name: str) -> list[str]:
    from sqlalchemy import text

    return list(connection.scalars(text(_HOLDERS), {"key": _key(name)}))


def _key(name: str) -> int:
    """The number by which PostgreSQL knows the lock of a study or a purpose."""
    digest = hashlib.sha256(f"weakdis/{name}".encode()).digest()
    return int.from_bytes(digest[:8], signed=True)
