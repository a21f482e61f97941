"""Search for a trained model by its address: in MLflow's registry, in a run, or on disk."""

from __future__ import annotations

import re
from pathlib import Path

import mlflow.artifacts
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from analysis.data.store import hide_password, open_store
from weakdis_core.errors import UserError

CHECKPOINT_FILE = "checkpoint.pt"
_IN_MODEL = f"data/{CHECKPOINT_FILE}"
# In the folder of a training run, in a model of MLflow, and in the artifacts of a sweep's run.
_PLACES = (CHECKPOINT_FILE, _IN_MODEL, f"checkpoint/{CHECKPOINT_FILE}")
_MODEL = re.compile(r"models:/(?P<name>[^/@]+)(@(?P<alias>[^/@]+)|/(?P<version>\d+|latest))?/?")
_RUN = re.compile(r"runs:/(?P<run>[^/]+)(/(?P<path>.*))?")
_FORMS = "models:/NAME@ALIAS, models:/NAME/VERSION, runs:/RUN_ID or a file or folder is needed"


def registered_name(variant: str, kind: str = "modular") -> str:
    """Return the name of a variant's models in MLflow's registry, with the kind of a baseline."""
    return f"weakdis-{variant}" if kind == "modular" else f"weakdis-{variant}-{kind}"


def find_checkpoint(address: str, tracking_uri: str, folder: Path) -> Path:
    """Find the checkpoint of an address, and fetch it to this machine.

    Args:
        address: `models:/weakdis-dsprites_v4@best` (or `/3`, `/latest`), `runs:/RUN_ID`, optionally
            with the path of a model or checkpoint, or a file or folder.
        tracking_uri: MLflow store of models and runs; not opened for a file or folder.
        folder: Folder for fetched files.

    Raises:
        UserError: There is no such model, or it is not a model of weakdis.
    """
    if not address.startswith(("models:", "runs:")):
        return _find_in(Path(address), address)
    client = open_store(tracking_uri)
    try:
        found = mlflow.artifacts.download_artifacts(
            artifact_uri=_locate(client, address),
            dst_path=str(folder),
            tracking_uri=client.tracking_uri,
        )
    except (MlflowException, OSError) as error:
        reason = str(error).strip().splitlines()[-1]
        raise UserError(
            f"model: {address} cannot be fetched from {hide_password(tracking_uri)} ({reason})"
        ) from None
    return _find_in(Path(found), address)


def _locate(client: MlflowClient, address: str) -> str:
    """Return the URI of the artifacts of an address."""
    if match := _MODEL.fullmatch(address):
        if match["alias"] is None and match["version"] is None:
            # The id of a model outside the registry.
            model = client.get_logged_model(match["name"])
            return f"{model.artifact_location}/{_IN_MODEL}"
        version = _find_version(client, match["name"], match["alias"], match["version"])
        place = client.get_model_version_download_uri(version.name, version.version)
        return f"{place}/{_IN_MODEL}"
    if match := _RUN.fullmatch(address):
        run, path = client.get_run(match["run"]), match["path"] or "checkpoint"
        # Models of the run are looked up here, because MLflow would do so in its default store.
        for output in run.outputs.model_outputs if run.outputs else []:
            model = client.get_logged_model(output.model_id)
            if model.name == path.rstrip("/"):
                return f"{model.artifact_location}/{_IN_MODEL}"
        return f"{run.info.artifact_uri}/{path}"
    raise UserError(f"model: {address!r} is not an address: {_FORMS}")


def _find_version(
    client: MlflowClient, name: str, alias: str | None, number: str | None
) -> ModelVersion:
    try:
        if alias is not None:
            return client.get_model_version_by_alias(name, alias)
        if number != "latest":
            return client.get_model_version(name, str(number))
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
    versions = client.search_model_versions(f"name = '{name}'") if number == "latest" else []
    if versions:
        return max(versions, key=lambda version: int(version.version))
    wanted = f"{name}@{alias}" if alias else f"{name}/{number}"
    store, models = hide_password(client.tracking_uri), _list_models(client)
    raise UserError(f"model: there is no models:/{wanted} in {store}; {models}")


def _list_models(client: MlflowClient) -> str:
    models = client.search_registered_models(f"name LIKE '{registered_name('')}%'")
    lines = []
    for model in models:
        versions = client.search_model_versions(f"name = '{model.name}'")
        numbers = sorted(int(version.version) for version in versions)
        aliases = "".join(f", @{alias} is {number}" for alias, number in model.aliases.items())
        if numbers:
            lines.append(f"{model.name} ({numbers[0]} to {numbers[-1]}{aliases})")
    return f"there are: {'; '.join(lines)}" if lines else "it has none"


def _find_in(place: Path, address: str) -> Path:
    if place.is_file():
        return place
    for name in _PLACES:
        if (place / name).is_file():
            return place / name
    if not place.exists():
        raise UserError(f"model: there is no {address}: {_FORMS}")
    raise UserError(f"model: {address} holds no {CHECKPOINT_FILE}: is it a model of weakdis?")
