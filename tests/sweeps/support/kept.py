"""Stored sweeps, made without running any."""

from __future__ import annotations

from pathlib import Path

from sweeps.search.space import build_space
from sweeps.state.catalog import store_settings
from sweeps.state.study import open_storage, open_study
from sweeps.state.trial_store import TrialStore
from sweeps.sweep_settings import SweepSettings, parse_arguments
from sweeps.trial import TrialRecord

VARIANT = "dsprites_v2"


def a_stored_sweep(
    storage: Path, name: str = "one", *flags: str, variant: str = VARIANT, begun: int = 6
) -> SweepSettings:
    """Store a sweep as if it was killed in its first trial; with `all`, that many have begun."""
    asked = ["--variant", variant, "--name", name, "--storage", str(storage), "--trials", "7"]
    settings = parse_arguments([*asked, *flags])
    for each, own in list(settings.sweep_names().items())[:begun]:
        base = settings.base_config(each)
        space = build_space(base, {})
        (storage / own).mkdir(parents=True)
        studies = open_storage(storage / own, settings.study_storage)
        study = open_study(studies, own, "pixels", space)
        store_settings(study, settings, base)
        study.ask(space)
        record = TrialRecord(0, "00000", {"data.labels": 100}, "running", 30, score=0.25)
        record.checkpoints = [str(storage / own / "search-1/00000/checkpoint_000002")]
        TrialStore(study).save(record, 12.0)
    return settings
