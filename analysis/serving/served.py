"""A trained model as an MLflow model: pictures and changes in, changed pictures out."""

from __future__ import annotations

import importlib.metadata
import json
import logging
import shutil
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, Schema
from numpy.typing import NDArray

from weakdis_core.cli.model_commands import parse_values
from weakdis_core.data.picture_files import encode_png, read_picture
from weakdis_core.errors import UserError
from weakdis_core.model import WARNING, load

_ROOT = Path(__file__).parents[2]
# Dependencies of the core and of this module, without those of sweeps.
_REQUIREMENTS = (
    "mlflow", "torch", "numpy", "pandas", "scipy", "scikit-learn", "joblib", "matplotlib", "h5py",
    "pillow", "pydantic", "tyro", "rich", "pooch", "pyyaml", "filelock",
)  # fmt: skip

SIGNATURE = ModelSignature(
    # JSON requests encode the bytes as base64.
    inputs=Schema(
        [
            ColSpec(DataType.binary, "image"),
            ColSpec(DataType.string, "relation", required=False),
            ColSpec(DataType.long, "times", required=False),
            ColSpec(DataType.string, "set", required=False),
        ]
    ),
    outputs=Schema(
        [
            ColSpec(DataType.binary, "image"),
            ColSpec(DataType.string, "read"),
            ColSpec(DataType.string, "warning"),
        ]
    ),
)
"""Input: a picture file of any size, a relation and how often to apply it, and factor values to set
first (`scale=4,shape=heart`). Output: a PNG file of the model's size, what the model reads in the
picture as JSON (value and probability of each factor), and a warning if the picture is unlike the
training data, else an empty text."""


class ServedModel:
    """Python model of MLflow that reads and changes pictures.

    Args:
        checkpoint: A training checkpoint.

    Raises:
        UserError: The checkpoint cannot be read.
    """

    def __init__(self, checkpoint: Path) -> None:
        self._model = load(checkpoint)

    def predict(
        self, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Read and change the picture of each row; the columns are those of `SIGNATURE`.

        Raises:
            MlflowException: A picture or a change is not allowed.
        """
        rows = []
        for number, (_, row) in enumerate(model_input.iterrows()):
            try:
                rows.append(self._change(row.dropna()))
            except UserError as error:
                raise MlflowException.invalid_parameter_value(f"row {number}: {error}") from None
        return pd.DataFrame(rows, model_input.index, ["image", "read", "warning"])

    def _change(self, row: pd.Series[Any]) -> tuple[bytes, str, str]:
        model = self._model
        channels, size = model.variant.channels, model.variant.size
        codes = model.encode(read_picture(row["image"], channels, size=size).pixels)
        values = parse_values([text for text in row.get("set", "").split(",") if text])
        changed = model.change_codes(codes, values, row.get("relation"), int(row.get("times", 1)))
        found = model.read_codes(codes) if model.reads_factors else {}
        read = {
            name: {"value": each.names[0], "probability": float(each.probabilities.max())}
            for name, each in found.items()
        }
        warning = WARNING if model.is_unlike_training(codes)[0] else ""
        return encode_png(model.decode(changed)[0]), json.dumps(read), warning


def _load_pyfunc(data_path: str) -> ServedModel:
    """Load a model; MLflow calls this function."""
    return ServedModel(Path(data_path))


def save_served(checkpoint: Path, image: NDArray[np.float32], folder: Path) -> None:
    """Write a checkpoint as an MLflow model with its code, requirements and an example.

    Loading the model unpickles no code: MLflow imports this module and passes it the checkpoint.

    Args:
        checkpoint: A training checkpoint.
        image: Image of its variant for the example, `(channels, 64, 64)` in [0, 1].
        folder: Folder to write or to replace.

    Raises:
        OSError: The folder cannot be written.
        UserError: The checkpoint cannot be read.
    """
    variant = load(checkpoint).variant
    example = pd.DataFrame({"image": [encode_png(image)], "relation": [variant.relation_names[0]]})
    partial = folder.with_name(f"{folder.name}.partial")
    for old in (partial, folder):
        shutil.rmtree(old, ignore_errors=True)
    versions = {name: importlib.metadata.version(name) for name in _REQUIREMENTS}
    # Without the build of torch (+cpu), which depends on the machine.
    requirements = [f"{name}=={text.partition('+')[0]}" for name, text in versions.items()]
    # Hides the messages about each step.
    logging.getLogger("mlflow.pyfunc").setLevel(logging.WARNING)
    mlflow.pyfunc.save_model(
        partial,
        loader_module=__name__,
        data_path=str(checkpoint),
        code_paths=[str(_ROOT / "weakdis_core"), str(_ROOT / "analysis")],
        signature=SIGNATURE,
        input_example=example,
        pip_requirements=requirements,
        metadata={"variant": variant.name, "relations": list(variant.relation_names)},
    )
    for cache in partial.rglob("__pycache__"):
        shutil.rmtree(cache)
    partial.rename(folder)
