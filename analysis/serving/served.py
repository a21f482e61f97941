"""A trained model as an MLflow model: pictures and names of relations in, pictures out."""

from __future__ import annotations

import importlib.metadata
import logging
import shutil
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
import pandas as pd
import torch
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, Schema
from numpy.typing import NDArray

from analysis.serving.picture_files import encode_png, read_picture
from weakdis_core.data.variants import get_variant
from weakdis_core.errors import UserError
from weakdis_core.manipulation import load_networks, manipulate

_ROOT = Path(__file__).parents[2]
# Dependencies of the core and of this module, without those of sweeps.
_REQUIREMENTS = (
    "mlflow", "torch", "numpy", "pandas", "scipy", "scikit-learn", "joblib", "matplotlib", "h5py",
    "pillow", "pydantic", "tyro", "rich", "pooch", "pyyaml", "filelock",
)  # fmt: skip

SIGNATURE = ModelSignature(
    # JSON requests encode the bytes as base64.
    inputs=Schema([ColSpec(DataType.binary, "image"), ColSpec(DataType.string, "relation")]),
    outputs=Schema([ColSpec(DataType.binary, "image")]),
)
"""Input: a picture file of any size, and a relation. Output: a PNG file of 64 x 64 pixels."""


class ServedModel:
    """Python model of MLflow that applies relations to pictures.

    Args:
        checkpoint: A training checkpoint.

    Raises:
        UserError: The checkpoint cannot be read.
    """

    def __init__(self, checkpoint: Path) -> None:
        config, self._networks = load_networks(checkpoint)
        self._variant = get_variant(config.data.variant)

    def predict(
        self, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Apply the relation of each row to its picture; the columns are those of `SIGNATURE`.

        Raises:
            MlflowException: A picture or a relation is not allowed.
        """
        pictures, names = [], list(model_input["relation"])
        for row, (image, name) in enumerate(zip(model_input["image"], names, strict=True)):
            try:
                self._variant.relation(name)
                pictures.append(read_picture(image, self._variant).pixels)
            except UserError as error:
                raise MlflowException.invalid_parameter_value(f"row {row}: {error}") from None
        changed: list[bytes] = [b""] * len(pictures)
        for name in dict.fromkeys(names):
            rows = [row for row, each in enumerate(names) if each == name]
            images = torch.stack([pictures[row] for row in rows])
            after = manipulate(self._networks, self._variant, images, (name,)).after[name]
            for row, image in zip(rows, after, strict=True):
                changed[row] = encode_png(image)
        return pd.DataFrame({"image": changed}, index=model_input.index)


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
    variant = get_variant(load_networks(checkpoint)[0].data.variant)
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
