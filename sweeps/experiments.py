"""MLflow experiments: one for each variant, and how to look at it."""

from __future__ import annotations

from concurrent.futures import Future
from pathlib import Path

from mlflow import MlflowClient

from weakdis_core.errors import UserError


def open_experiment(client: MlflowClient, uri: str, name: str, sweep: str) -> str:
    """The id of the experiment called `name`, made if there is none.

    Artifacts of a local database lie in `mlruns` beside it; a server knows its own place.

    Raises:
        UserError: The experiment is deleted, or holds a sweep of the name `sweep` already.
    """
    experiment = client.get_experiment_by_name(name)
    if experiment is not None:
        if experiment.lifecycle_stage != "active":
            raise UserError(f"MLflow experiment {name} is deleted; restore it or purge it first")
        known = str(experiment.experiment_id)
        query = f"tags.kind = 'sweep' and tags.sweep = '{sweep}'"
        if client.search_runs([known], query, max_results=1):
            raise UserError(f"name: MLflow has a sweep {sweep!r} of {name} already, in {uri}")
        return known
    place = None
    if uri.startswith("sqlite:///"):
        place = (Path(uri.removeprefix("sqlite:///")).absolute().parent / "mlruns" / name).as_uri()
    # Opens in the UI's view for training, not in that for language models.
    tags = {"mlflow.experimentKind": "custom_model_development"}
    return client.create_experiment(name, artifact_location=place, tags=tags)


def opened(experiment: Future[str], uri: str) -> str:
    """The experiment's id, once the database or server has answered.

    Raises:
        UserError: It cannot be used.
    """
    try:
        return experiment.result()
    except UserError:
        raise
    except Exception as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"tracking_uri: {uri!r} cannot be used: {reason}") from None


def ui_command(tracking_uri: str) -> str:
    """How to look at the runs."""
    if tracking_uri.startswith("http"):
        return tracking_uri
    return f"mlflow ui --backend-store-uri {tracking_uri}"
