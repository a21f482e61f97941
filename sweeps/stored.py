"""Sweeps that were run before: what is kept of each, and how to find it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.study import Study
from pydantic import ValidationError

from sweeps.addresses import without_password
from sweeps.ledger import seconds_of_a_trial
from sweeps.locks import claimed
from sweeps.outbox import OUTBOX_FILE
from sweeps.records import Records
from sweeps.settings import SweepSettings
from sweeps.study import STUDY_FILE, open_storage
from weakdis_core.config import Config, validated
from weakdis_core.data.variants import VARIANTS
from weakdis_core.errors import UserError

_SWEEP = "sweep"

_MAY_CHANGE = {
    "trials", "time_budget", "confirm_seeds", "confirm_top", "cpus_per_trial", "gpus_per_trial",
    "max_concurrent", "address", "tracking_uri", "data_dir",
}  # fmt: skip
"""Settings that a resumed sweep may be given anew: they change no trial's numbers."""
_FINDS = {"resume", "storage", "optuna_storage", "plan"}


@dataclass(frozen=True)
class Stored:
    """What is kept of a sweep beside its trials.

    Attributes:
        name: Its name.
        study: Its Optuna study.
        settings: What the user asked for.
        base: The settings its trials share, the data source resolved.
    """

    name: str
    study: Study
    settings: SweepSettings
    base: Config


def keep(study: Study, settings: SweepSettings, base: Config) -> None:
    """Keep with a study what its sweep is, for whoever resumes it, without any password."""
    asked = settings.model_dump(mode="json", by_alias=True, exclude={"optuna_storage", "resume"})
    # Whoever resumes may stand in another folder, where the default means another database.
    asked["storage"] = settings.checkpoints.root
    secret = without_password(settings.tracking) != settings.tracking
    asked["tracking_uri"] = None if secret else settings.tracking
    study.set_user_attr(_SWEEP, {"settings": asked, "base": base.to_dict()})


def find(settings: SweepSettings, name: str) -> Stored:
    """What is kept of the sweep called `name`, where the settings say that sweeps lie.

    Raises:
        UserError: There is no such sweep, or it never got as far as a trial.
    """
    if name not in (known := names(settings)):
        where = "that database" if settings.study_storage else settings.folder
        among = ", ".join(known) or "none"
        asked = "resume" if settings.status is None else "status"
        raise UserError(f"{asked}: there is no sweep {name!r} in {where}; there are: {among}")
    storage = open_storage(settings.folder / name, settings.study_storage)
    try:
        study = optuna.load_study(study_name=name, storage=storage)
        kept = study.user_attrs[_SWEEP]
    except KeyError:
        raise UserError(f"resume: {name!r} ended before its first trial: start it anew") from None
    return Stored(name, study, _settings(kept["settings"], name), validated(kept["base"]))


def names(settings: SweepSettings) -> list[str]:
    """Names of the sweeps where the settings say that they lie, the oldest first.

    Raises:
        UserError: The database named cannot be opened.
    """
    if settings.study_storage is not None:
        studies = open_storage(settings.folder, settings.study_storage).get_all_studies()
        return [study.study_name for study in studies if _SWEEP in study.user_attrs]
    files = sorted(settings.folder.glob(f"*/{STUDY_FILE}"), key=lambda file: file.stat().st_ctime)
    return [file.parent.name for file in files]


def elsewhere(settings: SweepSettings) -> list[str]:
    """Names of the sweeps that have a folder here, and their study in another place."""
    folders = {file.parent.name for file in settings.folder.glob(f"*/{OUTBOX_FILE}")}
    return sorted(folders - set(names(settings)))


def check_new(settings: SweepSettings) -> None:
    """Find out whether the names of new sweeps are free.

    A sweep that was killed before it was kept, and so before its first trial, is none.

    Raises:
        UserError: One is taken.
    """
    known = names(settings)
    for name in settings.sweep_names().values():
        folder = settings.folder / name
        if name not in known and (folder / OUTBOX_FILE).exists():
            raise UserError(f"name: {folder} holds a sweep of another database already")
        if name in known and not _is_kept(settings, name):
            (folder / STUDY_FILE).unlink()
        elif name in known:
            raise UserError(f"name: there is a sweep {name!r} already; go on with --resume {name}")


def check_free(settings: SweepSettings) -> None:
    """Find out, before anything starts, whether somebody runs the sweeps to resume.

    Raises:
        UserError: Somebody does.
    """
    for name in settings.sweep_names().values():
        with claimed(settings.folder / name, settings.study_storage):
            pass


def _is_kept(settings: SweepSettings, name: str) -> bool:
    if settings.study_storage is not None:
        return True
    folder = settings.folder / name
    with claimed(folder):
        studies = open_storage(folder).get_all_studies()
    return any(_SWEEP in study.user_attrs for study in studies)


def resumed(asked: SweepSettings) -> SweepSettings:
    """The settings of a sweep to resume: its own, with what the user asks for now.

    A name given to `--variant all` stands for all its sweeps.

    Raises:
        UserError: There is no such sweep, or a setting is given that cannot change.
    """
    assert asked.resume is not None
    place = Path(asked.resume)
    if len(place.parts) > 1:
        asked = asked.model_copy(update={"storage": str(place.parent)})
    name = place.name
    known = names(asked)
    found = [each for variant in VARIANTS if (each := f"{name}-{variant}") in known]
    stored = find(asked, found[0] if found else name)
    given = {
        field
        for field in asked.model_fields_set
        if getattr(asked, field) != getattr(stored.settings, field)
    }
    if fixed := sorted(given - _MAY_CHANGE - _FINDS):
        field = fixed[0]
        raise UserError(
            f"{field.rstrip('_')}: {getattr(asked, field)!r} is not allowed with resume: "
            f"the sweep keeps what it has ({getattr(stored.settings, field)!r})"
        )
    changes: dict[str, Any] = {field: getattr(asked, field) for field in given & _MAY_CHANGE}
    if not found:
        changes["variant"] = stored.base.data.variant
    changes |= {"name": name, "resume": name, "plan": asked.plan}
    if asked.study_storage is None and not stored.settings.checkpoints.remote:
        # A folder is where it was found, whatever it was called then.
        changes["storage"] = str(asked.folder)
    settings = stored.settings.model_copy(update=changes | {"optuna_storage": asked.optuna_storage})
    # Each part was allowed where it was said; together they may not be.
    settings = SweepSettings.model_validate(settings.model_dump(by_alias=True))
    if settings.trials > stored.settings.trials:
        for each in found or [name]:
            _check_time_is_left(find(asked, each), settings)
    return settings


def _check_time_is_left(stored: Stored, settings: SweepSettings) -> None:
    """More trials need time: the search starts none that it does not expect to end."""
    records = Records(stored.study)
    trial = seconds_of_a_trial(records.load().values())
    if records.seconds + trial >= settings.time_budget:
        raise UserError(
            f"time_budget: {settings.time_budget:g} is not allowed with more trials: "
            f"{stored.name} has taken {records.seconds:.0f} s of it, and a trial takes {trial:.0f}"
        )


def _settings(kept: dict[str, Any], name: str) -> SweepSettings:
    try:
        return SweepSettings.model_validate(kept)
    except ValidationError as error:
        raise UserError(f"resume: {name!r} is of another version of weakdis ({error})") from None
