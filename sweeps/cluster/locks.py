"""Locks: one program at a time runs a sweep, or creates the tables of a database."""

import fcntl
import hashlib
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote

from filelock import FileLock, Timeout
from sqlalchemy import Connection, NullPool, create_engine, text
from sqlalchemy.exc import DBAPIError

from sweeps.cluster.addresses import explain_errors, scheme_of
from sweeps.trial import Listener
from weakdis_core.errors import UserError

Opened = TypeVar("Opened")

_LOCK_FILE = ".lock"
# Seconds; a program that only checks a lock holds it for a moment.
_PATIENCE = 0.5
# Seconds between two checks of a lock that is held.
_EVERY = 5.0

# A machine that vanishes does not close its connection: the server drops it after a minute.
_KEEPALIVES = {"tcp_keepalives_idle": 30, "tcp_keepalives_interval": 10, "tcp_keepalives_count": 3}
_TAKE = text("select pg_try_advisory_lock(:key)")
# Names of the connections that hold a lock: one or none.
_HOLDERS = text("""
    select application_name from pg_locks left join pg_stat_activity using (pid)
    where locktype = 'advisory' and granted and objsubid = 1
    and database = (select oid from pg_database where datname = current_database())
    and (classid::bigint << 32 | objid::bigint) = :key
""")


class StudyLock(Listener):
    """A lock on a study in PostgreSQL, held by a connection of its own.

    Where a restart of the server or a router cuts the connection, the lock is taken again at a
    later step of the sweep.

    Args:
        name: Name of the study.
        studies: Its database. Only PostgreSQL has locks that end with their holder: in another
            one, or without one, nothing is locked.
    """

    def __init__(self, name: str = "", studies: str | None = None) -> None:
        self._name = name
        self._studies = _with_locks(studies)
        self._holder = f"weakdis-{uuid.uuid4().hex}"
        self._connection: Connection | None = None
        self._checked = time.monotonic()

    def take(self) -> bool:
        """Take the lock on a new connection; return whether this process holds it."""
        if self._studies is None:
            return True
        self.release()
        connection = _connect(self._studies, self._holder)
        for setting, value in _KEEPALIVES.items():
            connection.execute(text(f"set {setting} = {value}"))
        if connection.scalar(_TAKE, {"key": _key(self._name)}):
            self._connection = connection
            return True
        with connection:
            # The server may not have noticed yet that our last connection was cut.
            return self._holder in _holders(connection, self._name)

    def release(self) -> None:
        """Release the lock."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def step_started(self) -> None:
        """Check the lock from time to time."""
        if time.monotonic() - self._checked > _EVERY:
            self.check()

    def session_ended(self) -> None:
        """Check the lock before other listeners store how trials ended."""
        self.check()

    def check(self) -> None:
        """Take the lock again if its connection was cut.

        Raises:
            UserError: Another program holds it.
        """
        self._checked = time.monotonic()
        try:
            ours = self._is_connected() or self.take()
        except DBAPIError:
            # The database is still away; the next write to the study reports it.
            return
        if not ours:
            raise UserError(
                f"name: another program has taken over the sweep {self._name!r}, as the database "
                "was away; this one ends"
            )

    def _is_connected(self) -> bool:
        try:
            return self._connection is not None and self._connection.scalar(text("select true"))
        except DBAPIError:
            return False


@contextmanager
def acquire_sweep_lock(folder: Path, studies: str | None = None) -> Iterator[StudyLock]:
    """Hold the locks of a sweep, so that no other process runs it.

    Args:
        folder: The sweep's folder. A lock in it excludes processes of this machine.
        studies: Database of its study, if that is not in the folder. A lock in PostgreSQL excludes
            other machines.

    Raises:
        UserError: Another process holds a lock, or the folder cannot be written.
    """
    with ExitStack() as held:
        lock = StudyLock(folder.name, studies)
        held.callback(lock.release)
        # Without the folder no process of this machine has started the sweep.
        free = not folder.exists() or _lock_folder(folder, held)
        with explain_errors("optuna_storage", studies or ""):
            free = free and lock.take()
        if not free:
            raise UserError(f"name: the sweep {folder.name!r} is running already")
        yield lock


def is_running(folder: Path, studies: str | None = None) -> bool:
    """Check whether a process runs the sweep of a folder; another one may start meanwhile."""
    if _is_locked(folder):
        return True
    if (database := _with_locks(studies)) is None:
        return False
    with explain_errors("optuna_storage", database), _connect(database) as connection:
        return bool(_holders(connection, folder.name))


def open_database(address: str, open_address: Callable[[str], Opened]) -> Opened:
    """Open a database while no other process creates its tables.

    MLflow and Optuna create missing tables without a lock. A file gets its name once it has all
    tables, so a process that is killed leaves no part of one.

    Args:
        address: Address of the database; that of an MLflow server is opened as it is.
        open_address: Opens an address and creates the missing tables.
    """
    scheme = scheme_of(address)
    if scheme == "postgresql":
        with _connect(address) as connection:
            connection.execute(text("select pg_advisory_lock(:key)"), {"key": _key("tables")})
            return open_address(address)
    if scheme == "sqlite":
        _create_file(address, open_address)
    return open_address(address)


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
    # Not with FileLock, which writes: folders of other users can be checked too.
    try:
        with (folder / _LOCK_FILE).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


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


def _with_locks(studies: str | None) -> str | None:
    """Return a database if its locks end with their holder."""
    return studies if studies is not None and studies.startswith("postgres") else None


def _connect(studies: str, holder: str = "weakdis") -> Connection:
    # No transactions: the server might end an idle one, and where the connection is cut there is
    # nothing to roll back.
    engine = create_engine(
        studies, isolation_level="AUTOCOMMIT", poolclass=NullPool, pool_reset_on_return=None,
        connect_args={"application_name": holder},
    )  # fmt: skip
    return engine.connect()


def _holders(connection: Connection, name: str) -> list[str]:
    return list(connection.scalars(_HOLDERS, {"key": _key(name)}))


def _key(name: str) -> int:
    """Return the number of the PostgreSQL lock of a study or a purpose."""
    digest = hashlib.sha256(f"weakdis/{name}".encode()).digest()
    return int.from_bytes(digest[:8], signed=True)
