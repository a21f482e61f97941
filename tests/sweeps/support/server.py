"""A real MLflow server that tests stop and start."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import requests

from tests.patience import PATIENCE
from tests.sweeps.support.services import free_port

ROOT = Path(__file__).parents[3]


class Server:
    """`make tracking` on this machine.

    Args:
        folder: Folder of artifacts and log.
        database: Its database; by default a sqlite file in the folder.
        settings: Variables for `make`.
    """

    def __init__(self, folder: Path, database: str | None = None, *settings: str) -> None:
        self.folder = folder
        self.database = database or f"sqlite:///{folder / 'server.db'}"
        self.settings = settings
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def uri(self) -> str:
        """Address of the server."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start the server and wait until it answers."""
        # Skip the installation.
        make = ["make", "-C", str(ROOT), "-o", ".venv/project", "tracking"]
        make += [f"PORT={self.port}", f"ARTIFACTS={self.folder / 'artifacts'}", *self.settings]
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                make, stdout=log, stderr=log, start_new_session=True,
                env=os.environ | {"MLFLOW_BACKEND_STORE_URI": self.database},
            )  # fmt: skip
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                if requests.get(f"{self.uri}/health", timeout=5).ok:
                    return
            except requests.RequestException:
                assert time.monotonic() < deadline, (self.folder / "server.log").read_text()
                assert self.process.poll() is None
                time.sleep(0.2)

    def kill(self) -> None:
        """Kill the server."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.kill()
