"""The MLflow experiment of a variant."""

from __future__ import annotations

import shlex
from pathlib import Path
from urllib.parse import quote, unquote

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from analysis.data.store import restore_command
from sweeps.cluster.addresses import explain_errors, is_server, without_password
from sweeps.cluster.locks import open_database
from sweeps.compat import move_artifacts
from sweeps.tracking.client import connect
from weakdis_core.errors import UserError


def open_store(uri: str) -> MlflowClient:
    """Open MLflow's database or server, and create the tables of a new database.

    Raises:
        UserError: The database or server cannot be used.
    """
    with explain_errors("tracking_uri", uri):
        return open_database(uri, _connect)


def open_experiment(
    uri: str, name: str, sweep: str, resumed: bool = False, folder: Path | None = None
) -> None:
    """Create the experiment of a sweep, unless it exists.

    Artifacts lie in `mlruns` beside a local database, in `mlruns` of the sweeps' folder for
    another database, and where the server stores them for a server.

    Args:
        uri: MLflow's database or server.
        name: Name of the experiment.
        sweep: Name of the sweep.
        resumed: Whether the experiment may hold the sweep already.
        folder: Folder of the sweeps; by default MLflow chooses.

    Raises:
        UserError: MLflow cannot be used, the experiment is deleted, or it holds the sweep already.
    """
    client = open_store(uri)
    database = Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite:///") else None
    place = folder if database is None else database.parent
    artifacts = None
    if place is not None and not is_server(uri):
        artifacts = place.absolute() / "mlruns" / name
    with explain_errors("tracking_uri", uri):
        experiment = client.get_experiment_by_name(name)
        if experiment is None:
            _create(client, name, artifacts)
            return
        if experiment.lifecycle_stage != "active":
            command = restore_command(uri, "", experiment)
            raise UserError(f"MLflow experiment {name} was deleted; restore it with {command}")
        if database is not None and artifacts is not None:
            _follow_moved_artifacts(database, artifacts, str(experiment.artifact_location))
        known = str(experiment.experiment_id)
        # Trials without a parent count too, as they would become this sweep's.
        query = f"tags.sweep = '{sweep}'"
        if not resumed and client.search_runs([known], query, max_results=1):
            raise UserError(
                f"name: there is a sweep {sweep!r} of {name} already in MLflow at "
                f"{without_password(uri)}"
            )


def _connect(uri: str) -> MlflowClient:
    client = connect(uri)
    # The first call creates the tables.
    client.search_experiments(max_results=1)
    return client


def _follow_moved_artifacts(database: Path, here: Path, location: str) -> None:
    """Replace the location of artifacts that were copied or moved together with a database.

    Raises:
        UserError: Only the database was copied or moved.
    """
    if location == here.as_uri() or not location.endswith(f"/mlruns/{quote(here.name)}"):
        return
    there = Path(unquote(location.removeprefix("file://")))
    if there.exists():
        if here.exists() and here.samefile(there):
            return
        if not here.exists():
            raise UserError(
                f"tracking_uri: {database} was moved without its artifacts, which are in {there}; "
                f"move that folder to {here}, or name the database beside it"
            )
    move_artifacts(database, location, here.as_uri())


def _create(client: MlflowClient, name: str, artifacts: Path | None) -> None:
    place = None if artifacts is None else artifacts.as_uri()
    # The UI opens the view for training instead of that for language models.
    tags = {"mlflow.experimentKind": "custom_model_development"}
    try:
        client.create_experiment(name, artifact_location=place, tags=tags)
    except MlflowException as error:
        # Another sweep may have created it in between.
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def run_address(tracking_uri: str, experiment: str, run: str) -> str:
    """Return the page of a run on MLflow's server, or in `make ui`."""
    server = without_password(tracking_uri) if is_server(tracking_uri) else "http://127.0.0.1:5000"
    return f"{server.rstrip('/')}/#/experiments/{experiment}/runs/{run}"


def ui_command(tracking_uri: str) -> str:
    """Return the command or address that shows the runs."""
    if tracking_uri.startswith("http"):
        return without_password(tracking_uri)
    return shlex.join(["mlflow", "ui", "--backend-store-uri", without_password(tracking_uri)])
