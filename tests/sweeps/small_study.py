"""`python sweeps/run.py` with small presets: `python small_study.py --study models ...`.

SMALL_CHANGES of the environment changes the presets further: JSON, settings by preset's name.
"""

from __future__ import annotations

import json
import os
import sys

from sweeps.run import run
from tests.core.conftest import SMALL
from weakdis_core import rows
from weakdis_core.config import Config
from weakdis_core.console import main
from weakdis_core.presets import PresetName, preset
from weakdis_core.settings import ModelKind

CHANGES = "SMALL_CHANGES"


def small_preset(name: PresetName, variant: str, model: ModelKind = "modular") -> Config:
    """A preset, everything small."""
    changes = json.loads(os.environ.get(CHANGES, "{}")).get(name, {})
    return preset(name, variant, model).with_values({**SMALL, **changes})


if __name__ == "__main__":
    rows.preset = small_preset  # type: ignore[attr-defined]
    # A control that takes minutes, on data that these tests have.
    rows.LITERAL_VARIANT, rows.LITERAL = "dsprites_v2", {}
    sys.exit(main(run))
