"""`make ui`: MLflow's UI and Optuna's dashboard of the sweeps here, on this machine only."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from socketserver import ThreadingMixIn
from typing import Annotated
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import optuna_dashboard
import requests
from optuna import logging as optuna_logging
from pydantic import Field

from sweeps.addresses import without_password
from sweeps.settings import SweepSettings
from sweeps.stored import names
from sweeps.study import STUDY_FILE, open_storage
from weakdis_core.console import main, parse
from weakdis_core.errors import UserError
from weakdis_core.settings import Settings

_HOST = "127.0.0.1"
_PATIENCE = 120.0
# MLflow opens for language models, where the registry is not to be seen.
_TRAINING = "#/experiments?workflowType=machine_learning"
_GRACE = 10.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

Port = Annotated[int, Field(ge=1, le=65535)]


class UiSettings(Settings):
    """Look at sweeps in MLflow's UI and in Optuna's dashboard; Ctrl-C ends both."""

    port: Port = 5000
    """Port of MLflow's UI (`make ui PORT=`)."""
    optuna_port: Port = 8080
    """Port of Optuna's dashboard (`make ui OPTUNA_PORT=`)."""
    sweep: str = ""
    """Sweep whose study to show (`make ui SWEEP=`); default: the newest. Where
    WEAKDIS_OPTUNA_STORAGE names a database, the dashboard lists all of its studies."""


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Silent(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Print nothing for a request."""


def run() -> None:
    """Start both, print their addresses, and wait for Ctrl-C.

    Raises:
        UserError: A port is taken, there is no such sweep, or MLflow does not start.
    """
    settings = parse(UiSettings, prog="python -m sweeps.ui")
    if settings.port == settings.optuna_port:
        raise UserError(f"optuna_port: {settings.optuna_port} is MLflow's port; use another")
    sweeps = SweepSettings(list=True)
    # Terminals that close and `kill` end both UIs as Ctrl-C does, which a shell that started them
    # in the background has switched off.
    for number in _SIGNALS:
        signal.signal(number, signal.default_int_handler)
    try:
        optuna = _start_dashboard(settings, sweeps)
        with _mlflow(settings.port, sweeps.tracking) as mlflow:
            print(f"MLflow: {mlflow}\nOptuna: {optuna}\nCtrl-C ends both", flush=True)
            signal.pause()
    except KeyboardInterrupt:
        print()


def _start_dashboard(settings: UiSettings, sweeps: SweepSettings) -> str:
    """Serve Optuna's dashboard from a thread that ends with this process; returns its address."""
    optuna_logging.set_verbosity(optuna_logging.WARNING)
    known = names(sweeps)
    if settings.sweep and settings.sweep not in known:
        there = ", ".join(known) or "none"
        raise UserError(f"sweep: there is no {settings.sweep!r}; there are: {there}")
    if not known:
        return f"there is no sweep in {sweeps.folder} yet"
    name, port = settings.sweep or known[-1], settings.optuna_port
    app = optuna_dashboard.wsgi(
        open_storage(sweeps.folder / name, sweeps.study_storage, writer=False)
    )
    _check_free("optuna_port", port)
    server = make_server(_HOST, port, app, _Server, _Silent)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    shown = "" if sweeps.study_storage else f" ({name}/{STUDY_FILE})"
    return f"http://{_HOST}:{port}{shown}"


@contextmanager
def _mlflow(port: int, tracking: str) -> Iterator[str]:
    """MLflow's UI as a process; yields its address. A server that runs already is left alone."""
    if tracking.startswith("http"):
        yield without_password(tracking)
        return
    _check_free("port", port)
    address = f"http://{_HOST}:{port}"
    command = [sys.executable, "-m", "mlflow", "ui", "--host", _HOST, "--port", str(port)]
    # One worker and no job runner: two processes instead of fourteen. The store is named in the
    # environment, where no list of processes shows the password it may hold.
    environment = os.environ | {
        "MLFLOW_BACKEND_STORE_URI": tracking,
        "MLFLOW_REGISTRY_STORE_URI": tracking,
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        # MLflow's users can do nothing about what its libraries deprecate.
        "PYTHONWARNINGS": "ignore",
    }
    # In its own session Ctrl-C does not reach it: this process ends it with all that it started.
    with subprocess.Popen(
        [*command, "--workers", "1", "--uvicorn-opts", "--log-level warning"],
        env=environment, start_new_session=True,
    ) as process:  # fmt: skip
        try:
            _wait_for(address, process)
            yield f"{address}/{_TRAINING}"
        finally:
            for number in _SIGNALS:
                signal.signal(number, signal.SIG_IGN)
            with suppress(ProcessLookupError, subprocess.TimeoutExpired):
                os.killpg(process.pid, signal.SIGTERM)
                process.wait(_GRACE)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def _wait_for(address: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _PATIENCE
    while process.poll() is None:
        with suppress(requests.RequestException):
            if requests.get(f"{address}/health", timeout=5).ok:
                return
        if time.monotonic() > deadline:
            raise UserError(f"MLflow does not answer at {address}")
        time.sleep(0.2)
    raise UserError(f"MLflow ended by itself with exit code {process.returncode}")


def _check_free(field: str, port: int) -> None:
    with socket.socket() as probe:
        # As servers do it: a port that was left a moment ago is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except OSError as error:
            raise UserError(
                f"{field}: {port} cannot be used ({error.strerror}); "
                f"choose another: make ui {field.upper()}=NUMBER"
            ) from None


if __name__ == "__main__":
    main(run)
