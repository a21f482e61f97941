"""The Optuna study of a sweep: its storage, sampler and export."""

from __future__ import annotations

import warnings
from functools import partial
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import distribution_to_json
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import Study, StudyDirection

from sweeps.cluster.addresses import explain_errors
from sweeps.cluster.locks import open_database
from sweeps.compat import SingleWriterStorage
from sweeps.flags import Objective, Sampler
from sweeps.names import METRICS, Space
from sweeps.trial import FIRST
from weakdis_core.errors import UserError

STUDY_FILE = "study.db"
SPACE = "space"
INITIAL = [SPACE, FIRST]
"""User attributes that `open_study` sets."""
_LOCKED_SECONDS = 100.0


def make_sampler(name: Sampler, seed: int, trials: int) -> BaseSampler:
    """Return a sampler.

    Args:
        name: Its kind: tpe, random or nsga2.
        seed: Seed of its draws.
        trials: Number of trials. With few, tpe starts with fewer random ones, and nsga2 with a
            smaller population.
    """
    if name == "random":
        return RandomSampler(seed=seed)
    if name == "nsga2":
        return NSGAIISampler(seed=seed, population_size=min(50, max(4, trials // 4)))
    # The constant liar keeps parallel trials from similar suggestions.
    return TPESampler(seed=seed, n_startup_trials=min(10, max(3, trials // 4)), constant_liar=True)


def open_storage(folder: Path, url: str | None = None, writer: bool = True) -> BaseStorage:
    """Open the Optuna storage of a sweep's study.

    Args:
        folder: Folder of the sweep, for a database in it.
        url: Another database, or a journal file.
        writer: Whether this process alone writes the study.

    Raises:
        UserError: The storage cannot be opened.
    """
    address = url or f"sqlite:///{folder / STUDY_FILE}"
    with explain_errors("optuna_storage", address):
        if "://" not in address:
            return JournalStorage(JournalFileBackend(address))
        # Other programs may lock a file for a while. Pre-ping replaces connections that were cut.
        wait: dict[str, Any] = {"connect_args": {"timeout": _LOCKED_SECONDS}}
        options = wait if address.startswith("sqlite") else {"pool_pre_ping": True}
        storage = SingleWriterStorage if writer else RDBStorage
        return open_database(address, partial(storage, engine_kwargs=options))


def open_study(
    storage: BaseStorage, name: str, objective: Objective, space: Space | None = None
) -> Study:
    """Open a study, or create it.

    Args:
        storage: Its storage.
        name: Its name.
        objective: Its objective.
        space: The settings that it searches; None for a study of given runs.

    Raises:
        UserError: The study has other directions, or searches another space.
    """
    accuracy, labels = StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE
    wanted = [accuracy, labels] if objective == "pareto" else [accuracy]
    study = optuna.create_study(
        storage=storage, study_name=name, directions=wanted, load_if_exists=True
    )
    # Optuna ignores the directions asked for if the study exists.
    if study.directions != wanted:
        found = ", ".join(direction.name.lower() for direction in study.directions)
        raise UserError(f"study {name}: found directions {found}, expected those of {objective}")
    if not study.get_trials(deepcopy=False):
        study.set_user_attr(FIRST, 0)
    if space is not None:
        described = {key: distribution_to_json(values) for key, values in space.items()}
        if study.user_attrs.get(SPACE, described) != described:
            raise UserError(f"study {name}: it searches {study.user_attrs[SPACE]}, not {described}")
        study.set_user_attr(SPACE, described)
    with warnings.catch_warnings():
        # The interface may change. optuna-dashboard shows the names.
        warnings.simplefilter("ignore", ExperimentalWarning)
        study.set_metric_names([METRICS[objective], "data.labels"][: len(wanted)])
    return study
