"""Trained models in MLflow: stored with their run, and registered; the best gets the alias `best`.

Idempotent: a retry reuses the stored model and the version that an earlier attempt created.
"""

from __future__ import annotations

from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import LoggedModel, LoggedModelOutput, LoggedModelStatus, Metric
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models import Model

from sweeps.names import KINDS
from sweeps.tracking.outbox import Entry

ALIAS = "best"
SELECTED_BY = "val/relation_accuracy_pixels"
"""Tag by which versions are compared: never a score on test."""

MODEL_FOLDER = "model"
"""Name of the model within its run: `runs:/RUN_ID/model`."""

_STEP = "step"
_MODEL_NOTE = (
    "Best trial and confirm runs of each sweep. The alias `best` is the version with the highest "
    "pixel accuracy on validation. Change a picture with `weakdis manipulate --model "
    "models:/NAME@best --image FILE --relation NAME`."
)
# Scores that a version has as tags, and the stored model as metrics.
_SHOWN = [
    f"{part}/{score}"
    for part in ("val", "test")
    for score in ("factor_accuracy", *(f"relation_accuracy_{k}" for k in KINDS))
]


def publish(client: MlflowClient, run: str, entry: Entry) -> None:
    """Store an entry's model with its run, register it, and move the alias to it if it is better.

    Raises:
        MlflowException: MLflow, or its registry, refuses or does not answer.
    """
    assert entry.file is not None
    assert entry.model is not None
    stored = _store_model(client, run, entry)
    version = _register_model(client, run, stored, entry)
    number = client.get_registered_model(entry.model).aliases.get(ALIAS)
    best = None if number is None else client.get_model_version(entry.model, str(number))
    if best is None or _is_better(version, best):
        client.set_registered_model_alias(entry.model, ALIAS, version.version)


def _store_model(client: MlflowClient, run: str, entry: Entry) -> LoggedModel:
    """Find the run's model of this step, or create it; complete what an earlier attempt lacks."""
    experiment = client.get_run(run).info.experiment_id
    known = client.search_logged_models([experiment], f"source_run_id = '{run}'")
    same = [model for model in known if model.tags.get(_STEP) == str(entry.step)]
    model = same[0] if same else client.create_logged_model(
        experiment, MODEL_FOLDER, run, tags=entry.tags | {_STEP: str(entry.step)},
        params=client.get_run(run).data.params,
    )  # fmt: skip
    if model.status != LoggedModelStatus.READY:
        folder = Path(str(entry.file))
        described = Model.load(folder)
        described.run_id, described.model_id = run, model.model_id
        described.save(str(folder / "MLmodel"))
        client.log_model_artifacts(model.model_id, str(folder))
        client.log_outputs(run, [LoggedModelOutput(model.model_id, entry.step)])
        client.log_batch(run, metrics=_scores(client, run, model.model_id, entry))
        client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
    return model


def _scores(client: MlflowClient, run: str, model_id: str, entry: Entry) -> list[Metric]:
    """Return the run's last scores, as the same points: the run would show others twice."""
    scores = []
    for name in _SHOWN:
        history = client.get_metric_history(run, name) if name in entry.metrics else []
        if history:
            last = max(history, key=lambda point: point.step)
            scores.append(Metric(name, last.value, last.timestamp, last.step, model_id=model_id))
    return scores


def _register_model(
    client: MlflowClient, run: str, stored: LoggedModel, entry: Entry
) -> ModelVersion:
    """Find the version of a stored model, or create it."""
    name = str(entry.model)
    for version in client.search_model_versions(f"name = '{name}' and run_id = '{run}'"):
        if version.tags.get(_STEP) == str(entry.step):
            return version
    try:
        client.create_registered_model(name, description=_MODEL_NOTE)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    tags = entry.tags | {name: str(entry.metrics[name]) for name in _SHOWN if name in entry.metrics}
    tags |= {_STEP: str(entry.step), "run_id": run, "model_id": stored.model_id}
    # MLflow would look for the source `models:/ID` in its default database.
    return client.create_model_version(
        name, stored.artifact_location, run, tags, model_id=stored.model_id,
        description=_describe_version(entry),
    )  # fmt: skip


def _describe_version(entry: Entry) -> str:
    """Return where a version comes from, and its pixel accuracies."""
    found = {
        part: entry.metrics.get(f"{part}/relation_accuracy_pixels") for part in ("val", "test")
    }
    scores = ", ".join(f"{part} {score:.3f}" for part, score in found.items() if score is not None)
    return f"`{entry.key}` of the sweep `{entry.tags.get('sweep', '')}`. Pixels: {scores}."


def _is_better(version: ModelVersion, best: ModelVersion) -> bool:
    """Check whether the alias moves: official images before rendered ones, then higher scores."""
    source = version.tags.get("data.source")
    if source != best.tags.get("data.source"):
        # Scores on different images do not compare.
        return source == "official"
    new, old = (float(each.tags.get(SELECTED_BY, "-inf")) for each in (version, best))
    return new > old
