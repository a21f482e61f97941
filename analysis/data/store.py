"""Access to an MLflow store that never creates a missing one."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy
from mlflow import MlflowClient
from mlflow.entities import Experiment
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from weakdis_core.errors import UserError

DEFAULT_TRACKING_URI = "sqlite:///mlflow.db"

_DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
# By default MLflow tries seven times for two minutes each.
_SHORT_WAITS = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}


def resolve_uri(given: str | None = None) -> str:
    """Return the given store, else that of MLFLOW_TRACKING_URI, else `mlflow.db` here."""
    return given or os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_TRACKING_URI


def is_missing(uri: str) -> bool:
    """Check whether a store is the default one and does not exist in this folder."""
    return uri == DEFAULT_TRACKING_URI and not Path("mlflow.db").exists()


def open_store(uri: str) -> MlflowClient:
    """Return a client of an existing store.

    Raises:
        UserError: There is no store at `uri`, it cannot be reached, or it is not MLflow's.
    """
    # Otherwise MLflow prints a bar for each file it fetches.
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    scheme = uri.partition(":")[0].partition("+")[0]
    try:
        with _short_waits():
            client = MlflowClient(
                tracking_uri=_check_database(uri) if scheme in _DATABASES else uri
            )
            client.search_experiments(max_results=1)
    except MlflowException as error:
        reason = str(error).partition(". ")[0].strip()
        raise UserError(
            f"tracking URI: {hide_password(uri)} cannot be read ({reason}); "
            "expected something like sqlite:///mlflow.db or http://HOST:PORT"
        ) from None
    return client


def hide_password(uri: str) -> str:
    """Return the URI without its password, for printing."""
    if uri.startswith("sqlite:"):
        return uri
    try:
        return sqlalchemy.make_url(uri).render_as_string(hide_password=True)
    except SQLAlchemyError:
        return uri


def restore_command(uri: str, run: str, experiment: Experiment) -> str:
    """Return the MLflow command that restores a deleted run, or its deleted experiment."""
    what = f"runs restore --run-id {run}"
    if experiment.lifecycle_stage != "active":
        what = f"experiments restore --experiment-id {experiment.experiment_id}"
    return f"MLFLOW_TRACKING_URI={shlex.quote(hide_password(uri))} mlflow {what}"


def _check_database(uri: str) -> str:
    """Check that there is an MLflow database, and return its URI with an absolute path.

    MLflow would create a missing database, and would try an unreachable server for minutes.
    """
    given, (scheme, _, name) = uri, uri.partition(":///")
    if scheme == "sqlite":
        # MLflow caches stores by URI, whatever the current folder is. The path is joined as text,
        # because MLflow does not decode the folder of a URL that SQLAlchemy renders.
        uri = f"sqlite:///{Path(name).expanduser().absolute()}"
    try:
        url = sqlalchemy.make_url(uri)
        if scheme == "sqlite" and not Path(url.database or "").is_file():
            raise UserError(f"tracking URI: {given}: there is no file {name}")
        engine = sqlalchemy.create_engine(url)
        try:
            found = sqlalchemy.inspect(engine).has_table("experiments")
        finally:
            engine.dispose()
    except (SQLAlchemyError, ImportError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise UserError(f"tracking URI: {hide_password(uri)} cannot be read ({reason})") from None
    if not found:
        raise UserError(f"tracking URI: {hide_password(uri)} is a database without MLflow's tables")
    return uri


@contextmanager
def _short_waits() -> Iterator[None]:
    added = {name: value for name, value in _SHORT_WAITS.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]
