"""A finished sweep in MLflow: datasets, notes, and registered models."""

from __future__ import annotations

import base64
import dataclasses
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import mlflow.data
import numpy as np
import pytest
from mlflow.data.http_dataset_source import HTTPDatasetSource
from mlflow.entities import Dataset, Run
from mlflow.entities.model_registry import ModelVersion
from optuna.distributions import json_to_distribution
from PIL import Image

from analysis.serving.serving_commands import manipulate
from sweeps.search.space import build_space
from sweeps.tracking.registry import SELECTED_BY
from sweeps.tracking.run_info import training_images
from tests.sweeps.support.finished import Finished
from weakdis_core.config.config import Config
from weakdis_core.data.prepared import prepare

pytestmark = pytest.mark.slow
NAME = "weakdis-dsprites_v2"


def every_run(finished: Finished) -> list[Run]:
    return [finished.parent, *finished.children, *finished.confirmed]


def versions(finished: Finished) -> dict[str, ModelVersion]:
    """The registered versions by the stage of their run."""
    found = finished.client.search_model_versions(f"name = '{NAME}'")
    return {version.tags["stage"]: version for version in found}


def test_every_run_has_its_images(finished: Finished) -> None:
    config = Config.load(finished.folder / "best.yaml")
    prepared = prepare(config.data)
    for run in every_run(finished):
        assert run.inputs is not None
        (given,) = run.inputs.dataset_inputs
        tags = {tag.key: tag.value for tag in given.tags}
        assert (given.dataset.name, given.dataset.digest) == ("dsprites_v2", prepared.digest)
        assert tags["mlflow.data.context"] == "training"
        assert tags.get("labels") == run.data.params.get("data.labels")
        assert "git.commit" in str(mlflow.data.get_source(given.dataset).to_dict())
        profile = json.loads(given.dataset.profile or "")
        assert profile["images"] == profile["train"] + profile["validation"] + profile["test"]
        assert (profile["images"], profile["image_shape"]) == (1000, [1, 64, 64])


def test_official_images_name_the_published_file(finished: Finished) -> None:
    config = Config.load(finished.folder / "best.yaml")
    official = dataclasses.replace(prepare(config.data), source="official")
    source = mlflow.data.get_source(Dataset(**training_images(official, config)))
    assert isinstance(source, HTTPDatasetSource)
    assert source.url.endswith("/dsprites_ndarray_co1sh3sc6or40x32y32_64x64.hdf5")


def test_notes_describe_runs(finished: Finished) -> None:
    words = finished.best.data.tags["mlflow.note.content"]
    labels = finished.best.data.params["data.labels"]
    for part in (
        "Search trial",
        "of the sweep `small` on dsprites_v2",
        f"labels={labels} ",
        "Ended: complete, after 30 steps",
        f"pixels {finished.best.data.metrics['val/relation_accuracy_pixels']:.3f}",
        f"pixels {finished.best.data.metrics['test/relation_accuracy_pixels']:.3f}",
    ):
        assert part in words
    for run in finished.confirmed:
        words = run.data.tags["mlflow.note.content"]
        assert words.startswith("Confirm run")
        assert f"seed={run.data.tags['seed']}`" in words
    words = finished.parent.data.tags["mlflow.note.content"]
    best = finished.best.data
    for part in (
        "Sweep `small` of dsprites_v2 (rendered images): up to 3 trials",
        f"(`{best.tags['trial_id']}`), {best.metrics['val/relation_accuracy_pixels']:.3f}",
        "python sweeps/run.py --resume small --confirm-seeds 5",
        "on 2 fresh seeds",
        f"models:/{NAME}@best",
        f"/runs/{finished.parent.info.run_id}/artifacts/report.html)",
        f"/runs/{finished.best.info.run_id})",
    ):
        assert part in words


def test_the_space_can_be_read_back(finished: Finished) -> None:
    params = finished.parent.data.params
    found = {
        name.removeprefix("space."): json_to_distribution(text)
        for name, text in params.items()
        if name.startswith("space.")
    }
    assert found == build_space(Config.load(finished.folder / "best.yaml"), {})


def test_the_best_and_a_confirm_run_are_registered(finished: Finished) -> None:
    found = versions(finished)
    assert set(found) == {"search", "confirm"}
    assert found["search"].run_id == finished.best.info.run_id
    assert found["search"].tags["sweep"] == "small"
    assert found["search"].tags["config_hash"] == finished.best.data.tags["config_hash"]
    runs = {run.info.run_id: run for run in finished.confirmed}
    scores = {key: run.data.metrics[SELECTED_BY] for key, run in runs.items()}
    assert scores[found["confirm"].run_id] == max(scores.values())
    best = finished.client.get_model_version_by_alias(NAME, "best")
    tags = {stage: float(version.tags[SELECTED_BY]) for stage, version in found.items()}
    assert float(best.tags[SELECTED_BY]) == max(tags.values())


def test_mlflow_predicts_with_it(finished: Finished, tmp_path: Path) -> None:
    folder = next((finished.folder / "models").iterdir())
    done = subprocess.run(
        [sys.executable, "-m", "mlflow", "models", "predict", "-m", f"models:/{NAME}@best",
         "-i", str(folder / "serving_input_example.json"), "-t", "json",
         "-o", "output.json", "--env-manager", "local"],
        cwd=tmp_path, env=os.environ | {"MLFLOW_TRACKING_URI": finished.uri},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (row,) = json.loads((tmp_path / "output.json").read_text())["predictions"]
    with Image.open(io.BytesIO(base64.b64decode(row["image"]))) as image:
        assert (image.format, image.size, image.mode) == ("PNG", (64, 64), "L")


def test_manipulate_takes_it_by_its_address(finished: Finished, tmp_path: Path) -> None:
    picture, output = tmp_path / "picture.png", tmp_path / "output.png"
    Image.fromarray(np.eye(100, dtype=np.uint8) * 255).save(picture)
    for address in (f"models:/{NAME}@best", f"runs:/{finished.best.info.run_id}/model"):
        manipulate(address, picture, "move_left", output=output, tracking_uri=finished.uri)
        assert output.stat().st_size > 0
        output.unlink()
