"""The model that MLflow serves."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import mlflow.pyfunc
import numpy as np
import pandas as pd
import pytest
import torch
from mlflow.exceptions import MlflowException
from PIL import Image

from analysis.serving.served import ServedModel, save_served
from tests.analysis.untrained import untrained
from weakdis_core.data.variants import get_variant
from weakdis_core.manipulation import load_networks, manipulate


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained model of Shapes3D, saved by MLflow."""
    place = tmp_path_factory.mktemp("served")
    image = np.full((3, 64, 64), 0.5, np.float32)
    save_served(untrained("shapes3d_v2", place / "checkpoint.pt"), image, place / "model")
    return place / "model"


def table(*relations: str, size: int = 100) -> pd.DataFrame:
    file = io.BytesIO()
    Image.new("RGB", (size, size), "red").save(file, "png")
    return pd.DataFrame({"image": [file.getvalue()] * len(relations), "relation": relations})


def test_predictions_equal_those_of_the_core(saved: Path) -> None:
    model = mlflow.pyfunc.load_model(str(saved))
    rows = table("change_shape", "object_hue_up", "change_shape", size=64)
    changed = model.predict(rows)
    _, networks = load_networks(saved / "data" / "checkpoint.pt")
    variant = get_variant("shapes3d_v2")
    red = np.zeros((1, 3, 64, 64), np.float32)
    red[:, 0] = 1
    expected = manipulate(networks, variant, torch.from_numpy(red), variant.relation_names).after
    assert list(changed.columns) == ["image"]
    for row, name in enumerate(rows["relation"]):
        pixels = np.asarray(Image.open(io.BytesIO(changed["image"][row]))).transpose(2, 0, 1) / 255
        assert np.abs(pixels - expected[name][0]).max() <= 0.5 / 255 + 1e-6


def test_input_errors_name_row_value_and_allowed_values(saved: Path) -> None:
    model = ServedModel(saved / "data" / "checkpoint.pt")
    rows = table("change_shape", "move_left")
    with pytest.raises(MlflowException, match=r"row 1: relation: 'move_left' is not.*change_shape"):
        model.predict(rows)
    rows = table("change_shape").assign(image=[b"hello"])
    with pytest.raises(MlflowException, match=r"row 0: image: .* cannot be read") as refused:
        model.predict(rows)
    assert refused.value.error_code == "INVALID_PARAMETER_VALUE"
    with pytest.raises(MlflowException, match="relation"):
        mlflow.pyfunc.load_model(str(saved)).predict(rows[["image"]])


def test_model_metadata(saved: Path) -> None:
    described = mlflow.models.Model.load(str(saved))
    assert described.metadata is not None
    assert described.metadata["variant"] == "shapes3d_v2"
    assert "change_shape" in described.metadata["relations"]
    assert described.signature.inputs.input_names() == ["image", "relation"]
    example = described.load_input_example(str(saved))
    assert isinstance(example, pd.DataFrame)
    assert example["relation"][0] == "change_shape"


@pytest.mark.slow
def test_packed_code_and_requirements_are_sufficient(saved: Path) -> None:
    script = (
        "import sys; sys.path.insert(0, 'code'); import analysis.serving.served as served;"
        "served._load_pyfunc('data/checkpoint.pt');"
        "print(served.__file__, *{name.partition('.')[0] for name in sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=saved, capture_output=True, text=True, check=True
    )
    origin, *loaded = done.stdout.split()
    assert (saved / origin).resolve().is_relative_to(saved.resolve() / "code")
    lines = (saved / "requirements.txt").read_text().split()
    pinned = {line.partition("==")[0].lower() for line in lines}
    assert all("==" in line and "+" not in line for line in lines)
    renamed = {"sklearn": "scikit-learn", "PIL": "pillow", "yaml": "pyyaml"}
    core = {"torch", "numpy", "scipy", "sklearn", "joblib", "matplotlib", "h5py", "PIL",
            "pydantic", "pooch", "yaml", "filelock", "pandas", "rich", "tyro"}  # fmt: skip
    assert {renamed.get(name, name) for name in core & set(loaded)} <= pinned
    assert not {"ray", "optuna", "sweeps"} & set(loaded)
