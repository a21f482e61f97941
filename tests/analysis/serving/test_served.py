"""The model that MLflow serves."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import mlflow.pyfunc
import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException
from numpy.typing import NDArray
from PIL import Image

from analysis.serving.served import ServedModel, save_served
from tests.analysis.untrained import untrained
from weakdis_core.model import load


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


def test_predictions_equal_those_of_the_model(saved: Path) -> None:
    served, model = mlflow.pyfunc.load_model(str(saved)), load(saved / "data" / "checkpoint.pt")
    red = Image.new("RGB", (64, 64), "red")

    def check(rows: pd.DataFrame, *expected: NDArray[np.float32]) -> None:
        changed = served.predict(rows)
        assert list(changed.columns) == ["image", "read", "warning"]
        assert set(changed["warning"]) == {""}
        for file, image in zip(changed["image"], expected, strict=True):
            pixels = np.asarray(Image.open(io.BytesIO(file))).transpose(2, 0, 1) / 255
            assert np.abs(pixels - image[0]).max() <= 0.5 / 255 + 1e-6
        for text in changed["read"]:
            read = {
                name: (each["value"], each["probability"])
                for name, each in json.loads(text).items()
            }
            assert read == {
                name: (each.names[0], pytest.approx(each.probabilities.max(), abs=1e-5))
                for name, each in model.read(red).items()
            }

    names = ("change_shape", "object_hue_up", "change_shape")
    rows = table(*names, size=64)
    check(rows, *(model.apply(red, name) for name in names))
    check(rows[["image"]], *([model.decode(model.encode(red))] * 3))
    check(rows.assign(times=2)[:1], model.apply(red, "change_shape", times=2))
    values: dict[str, int | str] = {"shape": "ball", "object_hue": 3}
    codes = model.change_codes(model.encode(red), values, "change_shape")
    both = rows.assign(set="shape=ball, object_hue=3")
    check(both[:1], model.decode(codes))
    check(both[["image", "set"]][:1], model.set(red, **values))


def test_a_picture_unlike_the_training_data_gets_a_warning(tmp_path: Path) -> None:
    everything = untrained("shapes3d_v2", tmp_path / "checkpoint.pt", float("inf"))
    changed = ServedModel(everything).predict(table("change_shape"))
    assert "this picture is unlike the training data" in changed["warning"][0]


def test_input_errors_name_row_value_and_allowed_values(saved: Path) -> None:
    model = ServedModel(saved / "data" / "checkpoint.pt")
    rows = table("change_shape", "move_left")
    with pytest.raises(MlflowException, match=r"row 1: relation: 'move_left' is not.*change_shape"):
        model.predict(rows)
    rows = table("change_shape").assign(image=[b"hello"])
    with pytest.raises(MlflowException, match=r"row 0: image: .* cannot be read") as refused:
        model.predict(rows)
    assert refused.value.error_code == "INVALID_PARAMETER_VALUE"
    for column, value, message in (
        ("times", 0, "times: 0 is not allowed: at least 1"),
        ("set", "shape", "set: 'shape' is not allowed: FACTOR=VALUE is needed"),
        ("set", "shape=heart", "shape: 'heart' is not one of cube, cylinder"),
    ):
        with pytest.raises(MlflowException, match=f"row 0: {message}"):
            model.predict(table("change_shape").assign(**{column: value}))
    with pytest.raises(MlflowException, match="image"):
        mlflow.pyfunc.load_model(str(saved)).predict(rows[["relation"]])


def test_model_metadata(saved: Path) -> None:
    described = mlflow.models.Model.load(str(saved))
    assert described.metadata is not None
    assert described.metadata["variant"] == "shapes3d_v2"
    assert "change_shape" in described.metadata["relations"]
    assert described.signature.inputs.input_names() == ["image", "relation", "times", "set"]
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
