"""Locks: one program runs a sweep at a time, on one machine and on several."""

from __future__ import annotations

import fcntl
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Timer

import pytest
from sqlalchemy import text

from sweeps.cluster.locks import StudyLock, acquire_sweep_lock, is_running
from tests.patience import PATIENCE
from tests.sweeps.support.kept import a_stored_sweep
from tests.sweeps.support.services import Postgres
from weakdis_core.errors import UserError


def test_a_sweep_runs_in_one_process_at_a_time(tmp_path: Path) -> None:
    a_stored_sweep(tmp_path)
    assert not is_running(tmp_path / "one")
    with acquire_sweep_lock(tmp_path / "one"):
        assert is_running(tmp_path / "one")
        with (
            pytest.raises(UserError, match="the sweep 'one' is running already"),
            acquire_sweep_lock(tmp_path / "one"),
        ):
            pass


def test_checking_a_lock_does_not_block_its_owner(tmp_path: Path) -> None:
    assert not is_running(tmp_path)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / ".lock").touch()
    with (tmp_path / ".lock").open("rb") as looked_at:
        fcntl.flock(looked_at, fcntl.LOCK_SH)
        Timer(0.1, looked_at.close).start()
        with acquire_sweep_lock(tmp_path):
            pass


def test_a_folder_that_cannot_be_locked_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".lock").mkdir()
    with (
        pytest.raises(UserError, match=r"\.lock: cannot be written \(Is a"),
        acquire_sweep_lock(tmp_path),
    ):
        pass


@pytest.mark.needs_command("initdb", "postgresql")
def test_a_study_in_postgresql_locks_out_other_machines(tmp_path: Path) -> None:
    here, there = tmp_path / "here" / "one", tmp_path / "there" / "one"
    here.mkdir(parents=True)
    refused = pytest.raises(UserError, match="the sweep 'one' is running already")
    with Postgres() as studies:
        with acquire_sweep_lock(here, studies.address) as claim:
            assert is_running(there, studies.address)
            assert not is_running(there.with_name("two"), studies.address)
            there.mkdir(parents=True)
            with refused, acquire_sweep_lock(there, studies.address):
                pass
            # The server keeps the lock until it notices that the connection was cut.
            with halted_server_of(claim):
                claim.check()
                assert is_running(there, studies.address)
            wait_until(lambda: not is_running(there, studies.address))
            # Then `check` takes the lock again.
            claim.check()
            with refused, acquire_sweep_lock(there, studies.address):
                pass
            # After an outage of the server another machine takes the lock first.
            studies.stop()
            claim.check()
            studies.start()
            with (
                acquire_sweep_lock(there, studies.address),
                pytest.raises(UserError, match="another program has taken over the sweep 'one'"),
            ):
                claim.check()
        assert not is_running(there, studies.address)


@contextmanager
def halted_server_of(claim: StudyLock) -> Iterator[None]:
    """Cut a lock's connection while its server process is halted."""
    assert claim._connection is not None
    process = claim._connection.scalar(text("select pg_backend_pid()"))
    os.kill(process, signal.SIGSTOP)
    cut = claim._connection.connection.dbapi_connection
    assert cut is not None
    cut.close()
    try:
        yield
    finally:
        os.kill(process, signal.SIGCONT)


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)
