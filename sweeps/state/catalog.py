"""The sweeps of a storage: what each has stored of itself, and how to find them by name."""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.study import Study
from pydantic import ValidationError, model_validator

from analysis.data.outbox_files import OUTBOX_FILE
from sweeps.cluster.addresses import has_secret, without_password
from sweeps.cluster.locks import acquire_sweep_lock
from sweeps.compat import is_empty_study, read_study_attribute
from sweeps.names import METRICS
from sweeps.state.study import INITIAL, STUDY_FILE, open_storage
from sweeps.state.trial_store import TrialStore
from sweeps.study_names import STUDY_PREFIX
from sweeps.sweep_settings import SweepSettings
from weakdis_core.config.config import Config, describe
from weakdis_core.errors import UserError
from weakdis_core.version import CODE_VERSION

_SWEEP = "sweep"
_BEGUN = "begun"
_CORE = "core"
_ENDED = "ended"
# Seconds to wait for a file that another program has locked.
_PATIENCE = 5.0
# Version of the core in sweeps that did not store it yet.
_FIRST_CORE = 2


class _StoredSettings(SweepSettings):
    """Settings as stored, unchecked: the places that they name may have moved."""

    @model_validator(mode="after")
    def _consistent(self) -> _StoredSettings:
        return self


@dataclass(frozen=True)
class StoredSweep:
    """A sweep as its Optuna study stores it.

    Attributes:
        name: Its name.
        study: Its Optuna study.
        confirm: The Optuna study of its confirm runs, if there is one.
        settings: What the user asked for; the places that they name may be gone.
        base: The settings that its trials share, with the data source resolved.
        core: Version of the core that began it.
        ended: Whether its last session ended by itself; None if an earlier version ran it.
    """

    name: str
    study: Study
    confirm: Study | None
    settings: SweepSettings
    base: Config
    core: int
    ended: bool | None

    @property
    def records(self) -> TrialStore:
        """Records of its trials, or of its runs if it is a study of the paper."""
        return TrialStore(self.study, "search" if self.settings.study is None else "study")


def store_settings(study: Study, settings: SweepSettings, base: Config) -> None:
    """Store the settings of a sweep in its study, without passwords."""
    asked = settings.model_dump(mode="json", by_alias=True, exclude={"optuna_storage", "resume"})
    # The sweep may be resumed from another folder, where relative paths name other places.
    asked["storage"] = settings.checkpoints.root
    asked["data_dir"] = settings.data_dir and str(settings.data_dir.absolute())
    # The `***` instead of a password shows a resumed sweep that it needs the address again.
    address = settings.tracking
    asked["tracking_uri"] = without_password(address) if has_secret(address) else address
    before = study.user_attrs.get(_SWEEP)
    if before is not None:
        # --resume finds all sweeps of a `--variant all` by the variant of one of them.
        asked |= {field: before["settings"][field] for field in ("variant", "name")}
    begun = time.time() if before is None else before.get(_BEGUN, 0.0)
    stored = {"settings": asked, "base": base.to_dict(), _BEGUN: begun, _CORE: CODE_VERSION}
    study.set_user_attr(_SWEEP, stored | {_ENDED: False})


def note_end(study: Study) -> None:
    """Store that a session of a sweep ended by itself, with or without a result."""
    study.set_user_attr(_SWEEP, study.user_attrs[_SWEEP] | {_ENDED: True})


def find_sweep(settings: SweepSettings, name: str) -> StoredSweep:
    """Load a sweep by its name from the storage that the settings name.

    Raises:
        UserError: There is no such sweep, or it is of another version.
    """
    asked = "resume" if settings.status is None else "status"
    stored = _studies(settings).get(name)
    if isinstance(stored, UserError):
        raise stored
    if stored is None:
        where = "that database" if settings.study_storage else settings.folder
        among = ", ".join(stored_names(settings)) or "none"
        raise UserError(f"{asked}: there is no sweep {name!r} in {where}; there are: {among}")
    storage = open_storage(settings.folder / name, settings.study_storage)
    study = optuna.load_study(study_name=name, storage=storage)
    confirm = None
    with contextlib.suppress(KeyError):
        confirm = optuna.load_study(study_name=f"{name}/confirm", storage=storage)
    core = stored.get(_CORE, _FIRST_CORE)
    try:
        own = _StoredSettings.model_validate(stored["settings"])
        shared = stored["base"] if core == CODE_VERSION else _drop_unknown(stored["base"])
        base = Config.model_validate(shared)
    except ValidationError as error:
        reason = describe(error).replace("\n", "; ")
        raise UserError(f"{asked}: {name!r} is of another version of weakdis ({reason})") from None
    return StoredSweep(name, study, confirm, own, base, core, stored.get(_ENDED))


def _drop_unknown(base: dict[str, Any]) -> dict[str, Any]:
    """Drop settings that only another core has; its sweeps are shown and never continued."""
    known = Config().to_dict()
    return {
        part: {name: value for name, value in values.items() if name in known[part]}
        if isinstance(values, dict)
        else values
        for part, values in base.items()
        if part in known
    }


def parse_sweep_path(settings: SweepSettings, named: str) -> tuple[SweepSettings, str]:
    """Split the value of `--resume` or `--status` into storage and name.

    Args:
        settings: What the user asked for.
        named: A sweep's name or folder; `.`, `..` and text with `/` or `~` are folders.

    Returns:
        The settings, with the storage that holds the folder, and the name.
    """
    if named not in (".", "..") and not re.search(r"[/~]", named):
        return settings, named
    folder = Path(os.path.normpath(Path(named).expanduser().absolute()))
    return settings.model_copy(update={"storage": str(folder.parent)}), folder.name


def stored_names(settings: SweepSettings) -> list[str]:
    """List the names of the sweeps in the storage, the oldest first.

    They include sweeps that cannot be read. They exclude the studies of the paper, and sweeps that
    were killed before they stored their settings.

    Raises:
        UserError: The database cannot be opened.
    """
    begun = {
        name: each.get(_BEGUN, 0.0) if isinstance(each, dict) else 0.0
        for name, each in _studies(settings).items()
        if each is not None and not name.startswith(STUDY_PREFIX)
    }
    return sorted(begun, key=lambda name: begun[name])


def _studies(settings: SweepSettings) -> dict[str, dict[str, Any] | UserError | None]:
    """Return what each study stores of its sweep (None: nothing), or why it cannot be read."""
    if settings.study_storage is not None:
        studies = open_storage(settings.folder, settings.study_storage).get_all_studies()
        return {study.study_name: study.user_attrs.get(_SWEEP) for study in studies}
    files = sorted(settings.folder.glob(f"*/{STUDY_FILE}"))
    return {file.parent.name: _read_file(file) for file in files}


def _read_file(file: Path) -> dict[str, Any] | UserError | None:
    try:
        stored: dict[str, Any] | None = read_study_attribute(file, _SWEEP, _PATIENCE)
    except sqlite3.DatabaseError as error:
        if "locked" not in str(error):
            return None
        return UserError(
            f"storage: {file} is locked by another program (a dashboard, sqlite3?); close it and "
            "try again"
        )
    return stored


def names_without_study(settings: SweepSettings) -> list[str]:
    """List the sweeps that have a folder here and their study elsewhere."""
    folders = {file.parent.name for file in settings.folder.glob(f"*/{OUTBOX_FILE}")}
    own = {name for name in folders if not name.startswith(STUDY_PREFIX)}
    return sorted(own - set(stored_names(settings)))


def check_names_are_free(settings: SweepSettings) -> None:
    """Reject names that are in use; delete the leftover study of a sweep that stored nothing.

    Raises:
        UserError: A name is in use.
    """
    for name in settings.sweep_names().values():
        folder = settings.folder / name
        with acquire_sweep_lock(folder, settings.study_storage):
            studies = _studies(settings)
            stored = studies.get(name)
            if isinstance(stored, UserError):
                raise stored
            if stored is not None:
                raise UserError(
                    f"name: there is a sweep {name!r} already; resume it with --resume {name}"
                )
            if (folder / OUTBOX_FILE).exists():
                raise UserError(f"name: {folder} holds a sweep whose study is in another database")
            if name in studies and not _delete_leftover(settings, name):
                where = "in that database" if settings.study_storage else f"({folder / STUDY_FILE})"
                raise UserError(
                    f"name: {name!r} is not allowed: a study of this name {where} is not a sweep; "
                    "choose another name, or move the study"
                )


def _delete_leftover(settings: SweepSettings, name: str) -> bool:
    """Delete the study of a sweep that was killed before it stored its settings.

    Returns:
        False if the study is not such a leftover, and stays.
    """
    if settings.study_storage is not None:
        storage = open_storage(settings.folder, settings.study_storage)
        study = optuna.load_study(study_name=name, storage=storage)
        # `open_study` sets the metric names of each study that it creates.
        ours = (study.metric_names or [""])[0] in METRICS.values()
        if not ours or set(study.user_attrs) - set(INITIAL) or study.trials:
            return False
        optuna.delete_study(study_name=name, storage=storage)
        return True
    file = settings.folder / name / STUDY_FILE
    if not is_empty_study(file, name, INITIAL):
        return False
    file.unlink()
    return True


def check_not_running(settings: SweepSettings) -> None:
    """Reject sweeps that another program is running.

    Raises:
        UserError: A sweep is running.
    """
    for name in settings.sweep_names().values():
        with acquire_sweep_lock(settings.folder / name, settings.study_storage):
            pass
