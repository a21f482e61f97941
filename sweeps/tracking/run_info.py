"""What MLflow stores of a run's origin: code, libraries and seed as tags, images as a dataset."""

from __future__ import annotations

import functools
import importlib.metadata
import json
import platform
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from mlflow.data.code_dataset_source import CodeDatasetSource
from mlflow.data.dataset_source import DatasetSource
from mlflow.data.http_dataset_source import HTTPDatasetSource
from mlflow.data.meta_dataset import MetaDataset
from mlflow.data.schema import TensorDatasetSchema
from mlflow.types import Schema, TensorSpec

from weakdis_core.config.config import Config
from weakdis_core.data.official import FILES
from weakdis_core.data.prepared import Prepared
from weakdis_core.data.splits import split
from weakdis_core.version import CODE_VERSION

_LIBRARIES = ("weakdis", "torch", "ray", "optuna", "mlflow", "numpy", "scikit-learn")


@dataclass(frozen=True)
class SweepRun:
    """The parts that the MLflow runs of a sweep share.

    Attributes:
        name: Name of the sweep.
        base: Settings that its trials share.
        tags: Tags of the parent and of every child.
        params: Params of the parent.
        dataset: The images, as `training_images` returns them.
        description: Description of the parent.
    """

    name: str
    base: Config
    tags: dict[str, str]
    params: dict[str, Any]
    dataset: dict[str, str] = field(default_factory=dict)
    description: str = ""


def common_tags(config: Config, source: str) -> dict[str, str]:
    """Return the tags of every run: variant, data source, seed, commit and versions."""
    versions = {f"version.{name}": importlib.metadata.version(name) for name in _LIBRARIES}
    return {
        "variant": config.data.variant,
        "data.source": source,
        "seed": str(config.seed),
        "git_commit": git_commit(),
        "version.core": str(CODE_VERSION),
        "version.python": platform.python_version(),
        **versions,
    }


@functools.cache
def git_commit() -> str:
    """Return the commit of this code, with `-dirty` if it was changed; `unknown` without one."""
    describe = ("describe", "--always", "--abbrev=40", "--dirty", "--exclude=*")
    try:
        # Fails for installed code inside a repository that does not track it.
        _git("ls-files", "--error-unmatch", Path(__file__).name)
        return _git(*describe) or "unknown"
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def _git(*words: str) -> str:
    here = Path(__file__).parent
    done = subprocess.run(
        ["git", *words], cwd=here, capture_output=True, text=True, timeout=10, check=True
    )
    return done.stdout.strip()


def training_images(prepared: Prepared, config: Config) -> dict[str, str]:
    """Describe a variant's images with the fields of `mlflow.entities.Dataset`.

    The number of labels is left out, as it differs between trials.
    """
    variant = prepared.variant
    images = TensorSpec(prepared.images.dtype, (-1, *prepared.images.shape[1:]), "images")
    factors = TensorSpec(np.dtype(np.int64), (-1, len(variant.factors)), "factors")
    parts = split(prepared.digests, config.data.data_seed)
    profile = {
        "source": prepared.source,
        "images": len(prepared.images),
        "image_shape": list(prepared.images.shape[1:]),
        "combinations": variant.n_combinations,
        "factors": dict(zip(variant.factor_names, variant.n_values, strict=True)),
        "train": len(parts.train),
        "validation": len(parts.validation),
        "test": len(parts.test),
    }
    schema = TensorDatasetSchema(Schema([images]), Schema([factors]))
    # Its type is abstract, but MLflow's documentation creates instances.
    known = MetaDataset(_source(prepared), variant.name, prepared.digest)  # type: ignore[abstract]
    return known.to_dict() | {
        "schema": json.dumps(schema.to_dict()),
        "profile": json.dumps(profile),
    }


def _source(prepared: Prepared) -> DatasetSource:
    """Return the published file, or the code that rendered the images."""
    if prepared.source == "official":
        family = prepared.variant.family
        url = next(file.url for file in FILES if file.family == family)
        return HTTPDatasetSource(url)  # type: ignore[no-untyped-call]
    tags = {"mlflow.source.name": "weakdis_core/data", "mlflow.source.git.commit": git_commit()}
    return CodeDatasetSource(tags)
