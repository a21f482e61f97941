"""Sweeps that were run before: what is kept of each, and how to find it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage
from optuna.study import Study
from pydantic import ValidationError, model_validator

from analysis.data.outbox_files import OUTBOX_FILE
from sweeps.cluster.addresses import has_secret, without_password
from sweeps.cluster.locks import acquire_sweep_lock
from sweeps.names import METRICS
from sweeps.state.study import SPACE, STUDY_FILE, open_storage
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
# Of sweeps that were begun before it was kept.
_FIRST_CORE = 2


class _Kept(SweepSettings):
    """Settings as they were kept: what they name may have moved, and be named anew."""

    @model_validator(mode="after")
    def _consistent(self) -> _Kept:
        return self


@dataclass(frozen=True)
class StoredSweep:
    """What is kept of a sweep beside its trials.

    Attributes:
        name: Its name.
        study: Its Optuna study.
        confirm: That of its confirm runs, if it has got so far.
        settings: What the user asked for; places that they name may be gone.
        base: The settings its trials share, the data source resolved.
        core: Version of the core that began it.
        ended: Whether its last session ended by itself; None where an earlier version ran it.
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
        """The records of its trials, or of its runs if it is a study of the paper."""
        return TrialStore(self.study, "search" if self.settings.study is None else "study")


def store_settings(study: Study, settings: SweepSettings, base: Config) -> None:
    """Keep with a study what its sweep is, for whoever resumes it, without any password."""
    asked = settings.model_dump(mode="json", by_alias=True, exclude={"optuna_storage", "resume"})
    # Whoever resumes may stand in another folder, where the same words mean other places.
    asked["storage"] = settings.checkpoints.root
    asked["data_dir"] = settings.data_dir and str(settings.data_dir.absolute())
    # Without its password, by which a resumed sweep sees that the address must be given again.
    address = settings.tracking
    asked["tracking_uri"] = without_password(address) if has_secret(address) else address
    before = study.user_attrs.get(_SWEEP)
    if before is not None:
        # One of `--variant all` stays one of all: by that --resume finds the others.
        asked |= {field: before["settings"][field] for field in ("variant", "name")}
    begun = time.time() if before is None else before.get(_BEGUN, 0.0)
    kept = {"settings": asked, "base": base.to_dict(), _BEGUN: begun, _CORE: CODE_VERSION}
    study.set_user_attr(_SWEEP, kept | {_ENDED: False})


def note_end(study: Study) -> None:
    """Store that a session of a sweep ended by itself, with a result or without."""
    study.set_user_attr(_SWEEP, study.user_attrs[_SWEEP] | {_ENDED: True})


def find_sweep(settings: SweepSettings, name: str) -> StoredSweep:
    """What is kept of the sweep called `name`, where the settings say that sweeps lie.

    Raises:
        UserError: There is no such sweep, or it is of another version.
    """
    asked = "resume" if settings.status is None else "status"
    kept = _studies(settings).get(name)
    if isinstance(kept, UserError):
        raise kept
    if kept is None:
        where = "that database" if settings.study_storage else settings.folder
        among = ", ".join(stored_names(settings)) or "none"
        raise UserError(f"{asked}: there is no sweep {name!r} in {where}; there are: {among}")
    storage = open_storage(settings.folder / name, settings.study_storage)
    study = optuna.load_study(study_name=name, storage=storage)
    confirm = None
    with contextlib.suppress(KeyError):
        confirm = optuna.load_study(study_name=f"{name}/confirm", storage=storage)
    try:
        own, base = _Kept.model_validate(kept["settings"]), Config.model_validate(kept["base"])
    except ValidationError as error:
        reason = describe(error).replace("\n", "; ")
        raise UserError(f"{asked}: {name!r} is of another version of weakdis ({reason})") from None
    core = kept.get(_CORE, _FIRST_CORE)
    return StoredSweep(name, study, confirm, own, base, core, kept.get(_ENDED))


def parse_sweep_path(settings: SweepSettings, named: str) -> tuple[SweepSettings, str]:
    """Read the name of a sweep, or its folder, as flags take it.

    Args:
        settings: What the user asked for.
        named: The name; all that has a separator in it, or is `.`, `..` or `~`, is a folder.

    Returns:
        The settings, with the storage that holds the folder, and the name.
    """
    if named not in (".", "..") and not re.search(r"[/~]", named):
        return settings, named
    folder = Path(os.path.normpath(Path(named).expanduser().absolute()))
    return settings.model_copy(update={"storage": str(folder.parent)}), folder.name


def stored_names(settings: SweepSettings) -> list[str]:
    """Names of the sweeps where the settings say that they lie, the oldest first.

    One that was killed before it was kept, and so before its first trial, is none. The studies of
    the paper are none either. One that cannot be read is among them: `find_sweep` raises why.

    Raises:
        UserError: The database named cannot be opened.
    """
    begun = {
        name: each.get(_BEGUN, 0.0) if isinstance(each, dict) else 0.0
        for name, each in _studies(settings).items()
        if each is not None and not name.startswith(STUDY_PREFIX)
    }
    return sorted(begun, key=lambda name: begun[name])


def _studies(settings: SweepSettings) -> dict[str, dict[str, Any] | UserError | None]:
    """What is kept in each study by its name, or why it cannot be read; None where nothing is."""
    if settings.study_storage is not None:
        studies = open_storage(settings.folder, settings.study_storage).get_all_studies()
        return {study.study_name: study.user_attrs.get(_SWEEP) for study in studies}
    files = sorted(settings.folder.glob(f"*/{STUDY_FILE}"))
    return {file.parent.name: _kept_in(file) for file in files}


def _kept_in(file: Path) -> dict[str, Any] | UserError | None:
    """What is kept in the file of a study."""
    # Optuna itself takes half a second to open one.
    query = "select value_json from study_user_attributes where key = ?"
    try:
        with contextlib.closing(sqlite3.connect(file, timeout=_PATIENCE)) as database:
            (value,) = database.execute(query, (_SWEEP,)).fetchone() or ("null",)
    except sqlite3.DatabaseError as error:
        if "locked" not in str(error):
            return None
        return UserError(
            f"storage: {file} is locked by another program (a dashboard, sqlite3?); close it and "
            "try again"
        )
    kept: dict[str, Any] | None = json.loads(value)
    return kept


def names_without_study(settings: SweepSettings) -> list[str]:
    """Names of the sweeps that have a folder here, and their study in another place."""
    folders = {file.parent.name for file in settings.folder.glob(f"*/{OUTBOX_FILE}")}
    own = {name for name in folders if not name.startswith(STUDY_PREFIX)}
    return sorted(own - set(stored_names(settings)))


def check_names_are_free(settings: SweepSettings) -> None:
    """Find out whether the names of new sweeps are free; what is no sweep's stays as it is.

    Raises:
        UserError: One is taken.
    """
    for name in settings.sweep_names().values():
        folder = settings.folder / name
        with acquire_sweep_lock(folder, settings.study_storage):
            studies = _studies(settings)
            kept = studies.get(name)
            if isinstance(kept, UserError):
                raise kept
            if kept is not None:
                raise UserError(
                    f"name: there is a sweep {name!r} already; go on with --resume {name}"
                )
            if (folder / OUTBOX_FILE).exists():
                raise UserError(f"name: {folder} holds a sweep of another database already")
            if name in studies and not _forget_unused(settings, name):
                where = "in that database" if settings.study_storage else f"({folder / STUDY_FILE})"
                raise UserError(
                    f"name: {name!r} is taken by a study {where} that is no sweep; use another "
                    "name, or move it away"
                )


def _forget_unused(settings: SweepSettings, name: str) -> bool:
    """Remove the study of a sweep that was killed before it was kept; False where it holds more."""
    if settings.study_storage is not None:
        storage = open_storage(settings.folder, settings.study_storage)
        study = storage.get_study_id_from_name(name)
        # `open_study` names the metrics of each study that it makes.
        ours = any(found[0] in METRICS.values() for found in _metric_names(storage, study))
        kept = set(storage.get_study_user_attrs(study)) - {SPACE}
        if not ours or kept or storage.get_all_trials(study):
            return False
        storage.delete_study(study)
        return True
    file = settings.folder / name / STUDY_FILE
    used = (
        "select 1 from trials", f"select 1 from study_user_attributes where key != '{SPACE}'",
        f"select 1 from studies where study_name != '{name}'",
    )  # fmt: skip
    try:
        with contextlib.closing(sqlite3.connect(file)) as database:
            filled = database.execute("select 1 from sqlite_master").fetchone()
            if filled and any(database.execute(query).fetchone() for query in used):
                return False
    except sqlite3.DatabaseError:
        return False
    file.unlink()
    return True


def _metric_names(storage: BaseStorage, study: int) -> list[list[str]]:
    attributes = storage.get_study_system_attrs(study)
    return [found for key, found in attributes.items() if key.endswith("metric_names")]


def check_not_running(settings: SweepSettings) -> None:
    """Find out, before anything starts, whether somebody runs the sweeps to resume.

    Raises:
        UserError: Somebody does.
    """
    for name in settings.sweep_names().values():
        with acquire_sweep_lock(settings.folder / name, settings.study_storage):
            pass
