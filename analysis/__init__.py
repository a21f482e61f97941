"""Tables, figures and reports of tracked runs, beside the published numbers."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from weakdis_core import Model


def load(model: str, tracking_uri: str | None = None) -> Model:
    """Load a trained model onto the CPU.

    Args:
        model: `models:/weakdis-dsprites_v4@best` (or `/3`, `/latest`), `runs:/RUN_ID`, or a
            checkpoint's file or folder.
        tracking_uri: MLflow store; by default `MLFLOW_TRACKING_URI`, or else `mlflow.db` here.

    Raises:
        UserError: There is no such model, or it is not a model of weakdis.
    """
    # Imports MLflow and torch, which take seconds.
    from analysis.data.store import resolve_uri
    from analysis.serving.model_address import find_checkpoint
    from weakdis_core.model import load as load_checkpoint

    with tempfile.TemporaryDirectory() as folder:
        return load_checkpoint(find_checkpoint(model, resolve_uri(tracking_uri), Path(folder)))
