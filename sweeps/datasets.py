"""The images of a sweep as MLflow knows a dataset: name, source, digest, schema and profile."""

from __future__ import annotations

import json

import numpy as np
from mlflow.data.code_dataset_source import CodeDatasetSource
from mlflow.data.dataset_source import DatasetSource
from mlflow.data.http_dataset_source import HTTPDatasetSource
from mlflow.data.meta_dataset import MetaDataset
from mlflow.data.schema import TensorDatasetSchema
from mlflow.types import Schema, TensorSpec

from sweeps.provenance import git_commit
from weakdis_core.config import Config
from weakdis_core.data.official import FILES
from weakdis_core.data.splits import split
from weakdis_core.data.store import Prepared


def training_images(prepared: Prepared, config: Config) -> dict[str, str]:
    """A variant's prepared images, by the fields of `mlflow.entities.Dataset`.

    The number of labelled images is not among them, as trials of one sweep differ in it.

    Args:
        prepared: The images.
        config: Settings of the sweep, for the seed of the splits.
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
    # `profile` is abstract by its type only: MLflow's documentation makes instances too.
    known = MetaDataset(_source(prepared), variant.name, prepared.digest)  # type: ignore[abstract]
    return known.to_dict() | {
        "schema": json.dumps(schema.to_dict()),
        "profile": json.dumps(profile),
    }


def _source(prepared: Prepared) -> DatasetSource:
    """The published file, or the code that drew the images."""
    if prepared.source == "official":
        family = prepared.variant.family
        url = next(file.url for file in FILES if file.family == family)
        return HTTPDatasetSource(url)  # type: ignore[no-untyped-call]
    tags = {"mlflow.source.name": "weakdis_core/data", "mlflow.source.git.commit": git_commit()}
    return CodeDatasetSource(tags)
