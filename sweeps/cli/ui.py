"""`make ui`: MLflow's UI and Optuna's dashboard on this machine."""

import asyncio
import logging
import os
import socket
import threading
import warnings
from collections.abc import Sequence
from typing import Annotated

import optuna_dashboard
import uvicorn
from optuna import logging as optuna_logging
from pydantic import Field
from werkzeug.serving import make_server

from sweeps.cluster.addresses import is_server, without_password
from sweeps.sweep_settings import SweepSettings
from weakdis_core.cli.console import main, parse
from weakdis_core.config.settings import Settings
from weakdis_core.errors import UserError

_HOST = "127.0.0.1"

Port = Annotated[int, Field(ge=1, le=65535)]


class UiSettings(Settings):
    """Show sweeps in MLflow's UI and in Optuna's dashboard; Ctrl-C ends both."""

    port: Port = 5000
    """Port of MLflow's UI (`make ui PORT=`)."""
    optuna_port: Port = 8080
    """Port of Optuna's dashboard (`make ui OPTUNA_PORT=`)."""
    sweep: str = ""
    """Sweep whose study is shown (`make ui SWEEP=`); default: the newest. If
    WEAKDIS_OPTUNA_STORAGE names a database, the dashboard lists all of its studies."""


def run(args: Sequence[str] | None = None, prog: str = "python -m sweeps.cli.ui") -> None:
    """Serve both from this process until Ctrl-C, so that neither outlives it.

    Raises:
        UserError: A port is in use, or there is no such sweep.
    """
    settings = parse(UiSettings, args, prog=prog)
    if settings.port == settings.optuna_port:
        raise UserError(f"optuna_port: {settings.optuna_port} is MLflow's port; use another")
    sweeps = SweepSettings(list=True)
    optuna_logging.set_verbosity(optuna_logging.WARNING)
    # Deprecations in MLflow's libraries are of no use to users.
    warnings.simplefilter("ignore")
    try:
        asyncio.run(_serve(settings, sweeps))
    except KeyboardInterrupt:
        print()


async def _serve(settings: UiSettings, sweeps: SweepSettings) -> None:
    # Ray and MLflow take seconds to import, and fail for a user without a home folder.
    from sweeps.compat import mlflow_app
    from sweeps.tracking.experiments import open_store
    from sweeps.tracking.leaderboard_view import newest_path

    optuna = _start_dashboard(settings, sweeps)
    server = None
    mlflow = without_password(sweeps.tracking)
    if not is_server(sweeps.tracking):
        listening = _listen("port", settings.port)
        server = uvicorn.Server(uvicorn.Config(mlflow_app(sweeps.tracking), log_level="warning"))
        mlflow = f"http://{_HOST}:{settings.port}"
    path = newest_path(open_store(sweeps.tracking), settings.sweep)
    # The ports accept connections already; requests wait until the servers have started.
    print(f"MLflow: {mlflow}/{path}\nOptuna: {optuna}\nCtrl-C ends both", flush=True)
    await (asyncio.Event().wait() if server is None else server.serve([listening]))


def _start_dashboard(settings: UiSettings, sweeps: SweepSettings) -> str:
    """Serve Optuna's dashboard from a daemon thread, and return its address."""
    from sweeps.state.catalog import stored_names
    from sweeps.state.study import STUDY_FILE, open_storage

    known = stored_names(sweeps)
    if settings.sweep and settings.sweep not in known:
        there = ", ".join(known) or "none"
        raise UserError(f"sweep: there is no {settings.sweep!r}; there are: {there}")
    if not known:
        return f"there is no sweep in {sweeps.folder} yet"
    name = settings.sweep or known[-1]
    storage = open_storage(sweeps.folder / name, sweeps.study_storage, writer=False)
    listening = _listen("optuna_port", settings.optuna_port)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = make_server(
        _HOST, settings.optuna_port, optuna_dashboard.wsgi(storage), threaded=True,
        fd=listening.detach(),
    )  # fmt: skip
    threading.Thread(target=server.serve_forever, daemon=True).start()
    shown = "" if sweeps.study_storage else f" ({name}/{STUDY_FILE})"
    return f"http://{_HOST}:{settings.optuna_port}{shown}"


def _listen(field: str, port: int) -> socket.socket:
    try:
        return socket.create_server((_HOST, port))
    except OSError as error:
        raise UserError(
            f"{field}: {port} cannot be used ({os.strerror(error.errno or 0)}); "
            f"choose another: make ui {field.upper()}=NUMBER"
        ) from None


if __name__ == "__main__":
    main(run)
