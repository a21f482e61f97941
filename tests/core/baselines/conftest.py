"""Small baselines."""

from __future__ import annotations

from tests.core.conftest import SMALL
from weakdis_core.config.config import Config
from weakdis_core.config.settings import ModelKind
from weakdis_core.presets import preset


def small_baseline(kind: ModelKind, **changes: object) -> Config:
    """Return small settings of a baseline on dsprites_v2."""
    return preset("quick", "dsprites_v2", kind).with_values({**SMALL, **changes})
