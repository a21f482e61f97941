"""A real MLflow server that tests stop and start."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType

import requests


class Server:
    """`mlflow server` on this machine, its runs in a sqlite file.

    Args:
        folder: Where database, artifacts and log lie.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def uri(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def database(self) -> str:
        """Its database, to be read beside it."""
        return f"sqlite:///{self.folder / 'server.db'}"

    def start(self) -> None:
        """Start it and wait until it answers."""
        flags = ["--backend-store-uri", self.database, "--host", "127.0.0.1", "--port"]
        flags += [f"{self.port}", "--workers", "1"]
        flags += ["--artifacts-destination", str(self.folder / "artifacts")]
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "mlflow", "server", *flags],
                stdout=log, stderr=log, start_new_session=True,
                env=os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            )  # fmt: skip
        deadline = time.monotonic() + 120
        while True:
            try:
                if requests.get(f"{self.uri}/health", timeout=5).ok:
                    return
            except requests.ConnectionError:
                assert time.monotonic() < deadline, (self.folder / "server.log").read_text()
                assert self._process.poll() is None
                time.sleep(0.2)

    def kill(self) -> None:
        """End it without a warning."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()
