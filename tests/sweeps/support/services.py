"""Real services for the sweeps of a cluster, on loopback: PostgreSQL and an object store."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests

from tests.conftest import program
from tests.patience import PATIENCE

PASSWORD = "swordfish"
"""Password of the database, which must not appear anywhere."""

KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}
"""Environment variables with the keys of the object store."""


def free_port() -> int:
    """Return a free port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


class Postgres:
    """A fresh PostgreSQL server that tests stop and start."""

    def __init__(self) -> None:
        self._folder, self._port = Path(tempfile.mkdtemp(prefix="weakdis-pg-")), free_port()
        # The server refuses to run as root.
        self._user = "postgres" if os.geteuid() == 0 else None
        self._server: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """Address of a database, password included."""
        return f"postgresql://weakdis:{PASSWORD}@127.0.0.1:{self._port}/postgres"

    def start(self) -> None:
        """Start the server and wait until it answers."""
        folder = self._folder
        options = [f"-p{self._port}", f"-k{folder}", "-clisten_addresses=127.0.0.1", "-cfsync=off"]
        with (folder / "log").open("ab") as log:
            self._server = subprocess.Popen(
                [found("postgres"), f"-D{folder / 'data'}", *options],
                stdout=log, stderr=log, user=self._user, cwd=folder,
            )  # fmt: skip
        # It listens before it answers.
        ready = [found("pg_isready"), "-q", "-h127.0.0.1", f"-p{self._port}"]
        deadline = time.monotonic() + PATIENCE
        while subprocess.run(ready, check=False).returncode != 0:
            assert time.monotonic() < deadline, (folder / "log").read_text()
            time.sleep(0.1)

    def stop(self) -> None:
        """Stop the server, which ends all connections."""
        if self._server is not None:
            # SIGINT is its fast shutdown; killed, it would leave shared memory behind.
            self._server.send_signal(signal.SIGINT)
            self._server.wait(timeout=PATIENCE)
            self._server = None

    def add(self, name: str) -> str:
        """Create another database and return its address."""
        self._run("psql", self.address, "-c", f"create database {name}")
        return self.address.replace("/postgres", f"/{name}")

    def dump(self, address: str) -> str:
        """Return the contents of a database."""
        return self._run("pg_dump", address)

    @staticmethod
    def _run(*command: str) -> str:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def __enter__(self) -> Postgres:
        if self._user is not None:
            shutil.chown(self._folder, self._user)
        secret = self._folder / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        made = [found("initdb"), "--username=weakdis", f"--pwfile={secret}", "--auth=scram-sha-256"]
        subprocess.run(
            [*made, "--no-sync", str(self._folder / "data")],
            check=True, capture_output=True, user=self._user, cwd=self._folder,
        )  # fmt: skip
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()
        shutil.rmtree(self._folder)


@contextmanager
def object_store(place: Path) -> Iterator[str]:
    """Start an S3 server with a bucket, and yield an address for `--storage`."""
    port = free_port()
    with (
        (place / "s3.log").open("wb") as log,
        subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H127.0.0.1", f"-p{port}"],
            stdout=log,
            stderr=log,
        ) as server,
    ):
        try:
            _wait_for(port, place / "s3.log")
            requests.put(f"http://127.0.0.1:{port}/bucket", timeout=PATIENCE).raise_for_status()
            yield f"s3://bucket/sweeps?endpoint_override=127.0.0.1:{port}&scheme=http"
        finally:
            server.kill()


def found(name: str) -> str:
    """Return the path of a program that the test requires."""
    place = program(name)
    assert place is not None
    return place


def _wait_for(port: int, log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
