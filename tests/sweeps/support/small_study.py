"""`python small_study.py --study models ...`: a study with small presets, whose runs can be held.

SMALL_CHANGES of the environment changes the presets further: JSON, settings by preset's name.
"""

from __future__ import annotations

import json
import os
import sys

from sweeps.run import run
from sweeps.tracking import run_info
from tests.core.conftest import SMALL
from tests.sweeps.support.held import hold_trials
from weakdis_core import rows
from weakdis_core.cli.console import main
from weakdis_core.config.config import Config
from weakdis_core.config.settings import WITHOUT_PRIOR, ModelKind, Source
from weakdis_core.presets import PresetName, preset
from weakdis_core.rows import Row
from weakdis_core.studies import STUDIES

CHANGES = "SMALL_CHANGES"
COMMIT = "0123456789" * 4
"""The commit of the runs; the archive refuses that of a work tree with changes."""


def small_preset(name: PresetName, variant: str, model: ModelKind = "modular") -> Config:
    """Return a preset made small."""
    changes = json.loads(os.environ.get(CHANGES, "{}")).get(name, {})
    return preset(name, variant, model).with_values({**SMALL, **changes})


def use_small_studies() -> None:
    """Declare small runs: as controls, the literal objective and baselines with other losses."""
    rows.preset = small_preset  # type: ignore[attr-defined]
    rows.LITERAL_VARIANT, rows.LITERAL = "dsprites_v2", {}
    STUDIES["controls"] = small_controls


def small_controls(variant: str, source: Source) -> list[Row]:
    """Declare one run for each objective."""
    labels = small_preset("default", variant).data.labels
    others = [rows.baseline(variant, source, kind, labels) for kind in WITHOUT_PRIOR]
    return [rows.literal(source), *(rows.with_seeds(row, rows.SEEDS[:1]) for row in others)]


if __name__ == "__main__":
    use_small_studies()
    run_info.git_commit = lambda: COMMIT  # type: ignore[assignment]
    hold_trials()
    sys.exit(main(run))
