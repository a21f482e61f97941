"""The settings of a resumed sweep: which ones it keeps, and which ones may change."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from sweeps.cluster.addresses import has_secret, scheme_of, without_password
from sweeps.state.catalog import StoredSweep, find_sweep, parse_sweep_path, stored_names
from sweeps.study_names import STUDY_PREFIX
from sweeps.sweep_settings import SweepSettings
from sweeps.trial import seconds_of_a_trial
from weakdis_core.data.variants import VARIANTS
from weakdis_core.errors import UserError
from weakdis_core.version import CODE_VERSION

_MAY_CHANGE = {
    "trials", "time_budget", "confirm_seeds", "confirm_top", "cpus_per_trial", "gpus_per_trial",
    "max_concurrent", "address", "tracking_uri", "data_dir",
}  # fmt: skip
"""Settings that may change on resume, as they change no trial's numbers."""
_FINDS = {"resume", "storage", "optuna_storage", "plan"}


def resume_settings(asked: SweepSettings) -> list[SweepSettings]:
    """Return the settings of the sweeps to resume: their own, updated with those asked for now.

    The name of a `--variant all` stands for all its sweeps, even those not yet begun.

    Raises:
        UserError: There is no such sweep, or a setting cannot change on resume.
    """
    assert asked.resume is not None
    asked, name = parse_sweep_path(asked, asked.resume)
    if name.startswith(STUDY_PREFIX):
        raise UserError(
            f"resume: {name!r} is a study of the paper; resume it with the command that began it: "
            "python sweeps/run.py --study STUDY --variant VARIANT"
        )
    begun = _sweeps_of_all(asked, name)
    if not begun:
        return [_resumed_settings(asked, find_sweep(asked, name))]
    if asked.variant == "all":
        asked = SweepSettings.model_construct(asked.model_fields_set - {"variant"}, **dict(asked))
    own = {variant: _resumed_settings(asked, stored) for variant, stored in begun.items()}
    # The last one to begin most likely still has the settings that all were given.
    *_, last = own.values()
    return [
        own.get(variant)
        or last.model_copy(update={"variant": variant, "name": f"{name}-{variant}", "resume": None})
        for variant in VARIANTS
    ]


def check_gpus(settings: SweepSettings, gpus: float) -> None:
    """Reject resuming without GPUs what began on GPUs: its numbers would change.

    Args:
        settings: Settings of the sweep.
        gpus: GPUs of a trial.

    Raises:
        UserError: The sweep began on GPUs, and a trial gets none.
    """
    for name in settings.sweep_names().values():
        if not gpus and find_sweep(settings, name).base.runtime.device != "cpu":
            raise UserError(
                f"gpus_per_trial: 0 is not allowed with resume: {name} began on GPUs, "
                "and continues only on GPUs"
            )


def _sweeps_of_all(asked: SweepSettings, name: str) -> dict[str, StoredSweep]:
    """Find the sweeps of a `--variant all`, by variant; none if `name` is that of one sweep."""
    known = stored_names(asked)
    if name in known:
        return {}
    parts = {variant: f"{name}-{variant}" for variant in VARIANTS}
    found = {variant: find_sweep(asked, part) for variant, part in parts.items() if part in known}
    # Sweeps with such names may also have begun one by one.
    together = any(stored.settings.variant == "all" for stored in found.values())
    return found if together else {}


def _resumed_settings(asked: SweepSettings, stored: StoredSweep) -> SweepSettings:
    if stored.core != CODE_VERSION:
        raise UserError(
            f"resume: {stored.name!r} began with version {stored.core} of the core, and numbers of "
            f"version {CODE_VERSION} do not compare; resume it from a commit of version "
            f"{stored.core}, or begin another sweep"
        )
    own = {"variant": stored.base.data.variant, "name": stored.name, "resume": stored.name}
    kept = stored.settings.model_copy(update=own)
    given = {f for f in asked.model_fields_set if getattr(asked, f) != getattr(kept, f)}
    if fixed := sorted(given - _MAY_CHANGE - _FINDS):
        field = fixed[0]
        raise UserError(
            f"{field.rstrip('_')}: {getattr(asked, field)!r} is not allowed with resume: "
            f"the sweep keeps what it has ({getattr(kept, field)!r})"
        )
    changes: dict[str, Any] = {field: getattr(asked, field) for field in given & _MAY_CHANGE}
    _check_devices(changes, stored)
    if stored.base.runtime.device == "cpu":
        # Even if this machine has GPUs.
        changes["gpus_per_trial"] = 0.0
    changes |= {"plan": asked.plan, "optuna_storage": asked.optuna_storage}
    changes["storage"] = _storage(asked, stored)
    if "tracking_uri" not in asked.model_fields_set:
        changes["tracking_uri"] = _tracking_uri(stored, changes["storage"])
    # Old and new settings are each valid, but may not be so together.
    changed = kept.model_copy(update=changes).model_dump(by_alias=True)
    settings = SweepSettings.model_validate(changed)
    if settings.trials > stored.settings.trials:
        _check_time_is_left(stored, settings)
    return settings


def _check_devices(changes: dict[str, Any], stored: StoredSweep) -> None:
    """Reject another kind of device, or more threads: a trial's numbers depend on both."""
    name, runtime = stored.name, stored.base.runtime
    gpus, cpus = changes.get("gpus_per_trial"), changes.get("cpus_per_trial")
    if gpus and runtime.device == "cpu":
        raise UserError(
            f"gpus_per_trial: {gpus:g} is not allowed with resume: {name} began without GPUs"
        )
    if cpus is not None and cpus > runtime.threads:
        raise UserError(
            f"cpus_per_trial: {cpus:g} is not allowed with resume: a trial of {name} has "
            f"{runtime.threads} threads"
        )


def _storage(asked: SweepSettings, stored: StoredSweep) -> str:
    """Return the folder or address that holds the sweep's checkpoints now."""
    if asked.study_storage is None:
        # The folder may have been moved, and the sweep was found in it.
        return str(asked.folder)
    kept = stored.settings.checkpoints
    if "storage" not in asked.model_fields_set or asked.checkpoints == kept:
        return kept.root
    if not asked.checkpoints.holds(stored.name):
        raise UserError(
            f"storage: {asked.storage!r} is not allowed with resume: it does not hold "
            f"{stored.name}, which was in {kept.root!r}"
        )
    return asked.checkpoints.root


def _tracking_uri(stored: StoredSweep, root: str) -> str:
    """Return the address of MLflow; a database that moved along with the sweep has a new one.

    Args:
        stored: The sweep.
        root: Storage of its checkpoints.

    Raises:
        UserError: The address held a password, or the database did not move along.
    """
    kept, begun_in = stored.settings.tracking_uri, stored.settings.checkpoints.root
    # Earlier versions stored None for an address with a password.
    if kept is None or has_secret(kept):
        given = os.environ.get("MLFLOW_TRACKING_URI")
        if given is not None and kept in (None, without_password(given)):
            return given
        raise UserError(
            f"tracking_uri: the runs of {stored.name} are at {kept or 'an address'}, whose "
            "password is not stored; set the whole address with MLFLOW_TRACKING_URI or "
            "--tracking-uri"
        )
    database, project = kept.partition(":///")[2], Path(begun_in).parent
    if scheme_of(kept) != "sqlite" or root == begun_in or project not in Path(database).parents:
        # A database outside the project folder does not move with the sweep.
        return kept
    here = Path(os.path.normpath(Path(root) / os.path.relpath(database, begun_in)))
    if not here.is_file():
        raise UserError(
            f"tracking_uri: there is no {here}: {stored.name} was moved from {begun_in} to {root}, "
            f"but its runs are in {database}. Move this file and the folder mlruns beside it too, "
            f"or use them where they are with --tracking-uri {kept}"
        )
    return f"sqlite:///{here}"


def _check_time_is_left(stored: StoredSweep, settings: SweepSettings) -> None:
    """Reject more trials without time for them: the search would start none."""
    records = stored.records
    trial = seconds_of_a_trial(records.load().values())
    if records.seconds + trial >= settings.time_budget:
        raise UserError(
            f"time_budget: {settings.time_budget:g} is not allowed with more trials: "
            f"{stored.name} has used {records.seconds:.0f} s, and a trial takes {trial:.0f} s"
        )
