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
from contextlib import ExitStack, closing, contextmanager
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
        """Say nothing of each request."""


def run() -> None:
    """Start both, print their addresses, and wait for Ctrl-C.

    Raises:
        UserError: A port is taken, there is no such sweep, or MLflow does not start.
    """
    settings = parse(UiSettings, prog="python -m sweeps.ui")
    if settings.port == settings.optuna_port:
        raise UserError(f"optuna_port: {settings.optuna_port} is MLflow's port; use another")
    # Terminals that close and `kill` end both UIs as Ctrl-C does, which a shell that started them
    # in the background has switched off.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        with ExitStack() as stack:
            optuna = stack.enter_context(_dashboard(settings))
            mlflow = stack.enter_context(_mlflow(settings.port))
            print(f"MLflow: {mlflow}\nOptuna: {optuna}\nCtrl-C ends both", flush=True)
            signal.pause()
    except KeyboardInterrupt:
        print()


@contextmanager
def _dashboard(settings: UiSettings) -> Iterator[str]:
    """Optuna's dashboard in a thread; yields its address."""
    asked = SweepSettings(list=True)
    optuna_logging.set_verbosity(optuna_logging.WARNING)
    known = names(asked)
    if settings.sweep and settings.sweep not in known:
        there = ", ".join(known) or "none"
        raise UserError(f"sweep: there is no {settings.sweep!r}; there are: {there}")
    if not known:
        yield f"there is no sweep in {asked.folder} yet"
        return
    name = settings.sweep or known[-1]
    storage = open_storage(asked.folder / name, asked.study_storage, writer=False)
    app = optuna_dashboard.wsgi(storage)
    try:
        server = make_server(_HOST, settings.optuna_port, app, _Server, _Silent)
    except OSError as error:
        raise _taken("optuna_port", settings.optuna_port, error) from None
    with closing(server.socket):
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://{_HOST}:{settings.optuna_port}"
        try:
            yield address if asked.study_storage else f"{address} ({name}/{STUDY_FILE})"
        finally:
            server.shutdown()


@contextmanager
def _mlflow(port: int) -> Iterator[str]:
    """MLflow's UI as a process; yields its address. A server that runs already is left alone."""
    tracking = SweepSettings(list=True).tracking
    if tracking.startswith("http"):
        yield without_password(tracking)
        return
    _check_free(port)
    # One worker and no job runner: two processes instead of fourteen. The store is named in the
    # environment, where no list of processes shows the password it may hold.
    quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    # What MLflow's own libraries deprecate is nothing to its users.
    quiet |= {"PYTHONWARNINGS": "ignore", "MLFLOW_REGISTRY_STORE_URI": tracking}
    call = [sys.executable, "-m", "mlflow", "ui", "--workers", "1", "--host", _HOST]
    with subprocess.Popen(
        [*call, "--port", str(port), "--uvicorn-opts", "--log-level warning"],
        env=os.environ | quiet | {"MLFLOW_BACKEND_STORE_URI": tracking},
        # Ctrl-C reaches this process alone, which then ends all of MLflow's.
        start_new_session=True,
    ) as process:
        try:
            address = f"http://{_HOST}:{port}"
            _wait_for(address, process)
            yield f"{address}/{_TRAINING}"
        finally:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            _end(process)


def _wait_for(address: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _PATIENCE
    while True:
        if process.poll() is not None:
            raise UserError(f"MLflow ended by itself with exit code {process.returncode}")
        try:
            if requests.get(f"{address}/health", timeout=5).ok:
                return
        except requests.RequestException:
            if time.monotonic() > deadline:
                raise UserError(f"MLflow does not answer at {address}") from None
        time.sleep(0.2)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process and all that it started; what does not obey is killed."""
    deadline = time.monotonic() + _GRACE
    number = signal.SIGTERM
    try:
        while True:
            os.killpg(process.pid, number)
            process.poll()
            time.sleep(0.1)
            if time.monotonic() > deadline:
                number = signal.SIGKILL
    except ProcessLookupError:
        return


def _check_free(port: int) -> None:
    with socket.socket() as probe:
        # As servers do it: a port that was left a moment ago is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except OSError as error:
            raise _taken("port", port, error) from None


def _taken(field: str, port: int, error: OSError) -> UserError:
    return UserError(
        f"{field}: {port} cannot be used ({error.strerror}); "
        f"choose another: make ui {field.upper()}=NUMBER"
    )


if __name__ == "__main__":
    main(run)
