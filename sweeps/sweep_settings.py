"""The flags of `sweeps/run.py`, and their validation."""

import contextlib
import datetime
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import model_validator

from sweeps import flags
from sweeps.cluster.addresses import check_database_path, check_remote, check_tracking, scheme_of
from sweeps.cluster.allotment import Allotment, allot
from sweeps.cluster.storage import Storage
from sweeps.study_names import STUDY_PREFIX, check_study, study_name
from weakdis_core.cli.console import parse
from weakdis_core.config.config import Config
from weakdis_core.config.settings import WITHOUT_PRIOR
from weakdis_core.data.variants import VARIANTS
from weakdis_core.errors import UserError
from weakdis_core.presets import preset
from weakdis_core.rows import ours
from weakdis_core.studies import study_variants

_FLAG_OF = {
    "data.variant": "--variant",
    "data.source": "--data-source",
    "runtime.data_dir": "--data-dir",
    "seed": "--seed",
    "training.steps": "--max-steps",
}


class SweepSettings(
    flags.SearchSettings,
    flags.BudgetSettings,
    flags.ResumeSettings,
    flags.StudySettings,
    flags.ResourceSettings,
    flags.StorageSettings,
):
    """Search the settings of one variant or of all six, or train a study of the paper.

    $ weakdis sweep --variant dsprites_v4 --plan
    $ weakdis sweep --variant dsprites_v4 --confirm-seeds 5
    $ weakdis sweep --resume NAME --trials 40
    $ weakdis sweep --study models --variant dsprites_v4
    """

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        # The parser passes every default as well.
        changed = {
            name
            for name, field in SweepSettings.model_fields.items()
            if getattr(self, name) != field.get_default()
        }
        check_study(self.study, self.seeds, changed)
        if self.variant is None and not (self.resume or self.status or self.list or self.study):
            allowed = ", ".join([*VARIANTS, "all"])
            raise UserError(
                f"variant: it is needed, one of {allowed}, or own pictures by their name; or "
                "resume, a sweep's name"
            )
        self._check_study_variant()
        if self.is_own:
            self._check_own()
        _check_amount("cpus_per_trial", self.cpus_per_trial)
        _check_amount("gpus_per_trial", self.gpus_per_trial)
        if self.name is not None:
            _check_name(self.name)
        if self.data_dir is not None and not self.data_dir.is_dir():
            raise UserError(f"data_dir: '{self.data_dir}' is not allowed: there is no such folder")
        check_tracking(self.tracking)
        if scheme_of(self.study_storage or "") == "postgres":
            raise UserError(
                "optuna_storage: postgres:// is not allowed: the address begins with postgresql://"
            )
        if self.study_storage is None:
            check_database_path("storage", self.folder)
        if self.checkpoints.remote:
            check_remote(self.checkpoints.root, self.study_storage, self.tracking)
        if self.objective == "latent" and self.model in WITHOUT_PRIOR:
            raise UserError(
                f"objective: latent is not allowed with model {self.model}, which has no prior to "
                "sample codes from; use pixels or encoded"
            )
        if self.objective == "pareto" and "data.labels" in self.fixed:
            raise UserError(
                "objective: pareto weighs accuracy against data.labels, which --set fixes; "
                "use pixels, latent or encoded, or leave data.labels free"
            )
        return self

    def _check_study_variant(self) -> None:
        if self.study is None or self.variant in (None, "all"):
            return
        # The label curve is for any own pictures, too.
        used = study_variants(self.study)
        if self.variant not in used and not (self.is_own and self.study == "labels"):
            raise UserError(
                f"variant: {self.variant} is not allowed with study {self.study}: choose one of "
                f"{', '.join(used)}"
            )

    def _check_own(self) -> None:
        if self.objective == "pareto":
            raise UserError(
                "objective: pareto is not allowed with own pictures: use pixels or encoded"
            )
        if self.data_source not in ("auto", "own"):
            raise UserError(f"data_source: {self.data_source!r} is not allowed with own pictures")

    @property
    def is_own(self) -> bool:
        """Whether the variant is a user's own data set."""
        return self.variant not in (None, "all", *VARIANTS)

    @property
    def checkpoints(self) -> Storage:
        """Where checkpoints are stored."""
        place = self.storage or os.environ.get("WEAKDIS_STORAGE") or "runs"
        return Storage(place if "://" in place else str(Path(place).expanduser().absolute()))

    @property
    def folder(self) -> Path:
        """Folder of the sweeps on this machine."""
        place = self.checkpoints
        return Path("runs").absolute() if place.remote else Path(place.root)

    @property
    def study_storage(self) -> str | None:
        """Database of the Optuna study; None for one in the sweep's folder."""
        named = self.optuna_storage or os.environ.get("WEAKDIS_OPTUNA_STORAGE") or None
        return str(Path(named).expanduser()) if named and "://" not in named else named

    @property
    def variants(self) -> tuple[str, ...]:
        """The variants to search, or those of the study, in order."""
        if self.is_own:
            name = str(self.variant)
            if self.resume is None:
                from weakdis_core.data.own import data_settings

                # The file of a description is named, too.
                name = data_settings(name)["variant"]
            return (name,)
        used = tuple(VARIANTS) if self.study is None else study_variants(self.study)
        every = self.variant == "all" or (self.variant is None and self.study is not None)
        return tuple(name for name in used if every or name == self.variant)

    @property
    def tracking(self) -> str:
        """Address of MLflow's database or server."""
        named = self.tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db"
        scheme, _, path = named.partition(":///")
        # A shell expands the ~ of a word alone, not that of --tracking-uri=sqlite:///~/mlflow.db.
        return f"sqlite:///{Path(path).expanduser().absolute()}" if scheme == "sqlite" else named

    @property
    def fixed(self) -> dict[str, Any]:
        """The settings fixed with `--set`, by dotted name."""
        return dict(parse_assignment(text) for text in self.set_)

    def allot(self, available: Mapping[str, float], grows: bool = False) -> Allotment:
        """Divide Ray's resources between trials; see `sweeps.cluster.allotment.allot`."""
        asked = self.cpus_per_trial, self.gpus_per_trial, self.max_concurrent
        return allot(available, *asked, grows=grows)

    def sweep_names(self) -> dict[str, str]:
        """Return the name of each variant's sweep."""
        if self.study is not None:
            source = self.data_source, self.data_dir
            return {each: study_name(self.study, each, *source) for each in self.variants}
        if self.name is None:
            now = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
            return {variant: f"{variant}-{now}" for variant in self.variants}
        if self.variant == "all":
            return {variant: f"{self.name}-{variant}" for variant in self.variants}
        return dict.fromkeys(self.variants, self.name)

    def check_storage(self) -> None:
        """Check that the folders of the sweeps and of their checkpoints can be written.

        Raises:
            UserError: One cannot be written.
        """
        for storage in {Storage(str(self.folder)), self.checkpoints}:
            storage.check()

    def base_config(self, variant: str) -> Config:
        """Return the settings that all trials of a variant's sweep share.

        Raises:
            UserError: A setting fixed with `--set` is unknown or out of range.
        """
        changes = self.places() | {"runtime.threads": max(1, int(self.cpus_per_trial or 1))}
        if self.study is not None:
            return ours(variant, self.data_source)[0].config.with_values(changes)
        changes |= {"seed": self.seed}
        if not self.is_own:
            changes["data.source"] = self.data_source
        if self.max_steps is not None:
            changes["training.steps"] = self.max_steps
        return preset(self.preset, variant, self.model).with_values(changes | self.fixed)

    def places(self) -> dict[str, Any]:
        """Return the settings of a run that name folders of this machine, by dotted name."""
        return {} if self.data_dir is None else {"runtime.data_dir": str(self.data_dir.absolute())}


def _check_amount(field: str, amount: float | None) -> None:
    # Ray takes fractions below one, and whole numbers above.
    if amount is not None and amount > 1 and amount != int(amount):
        raise UserError(f"{field}: {amount} is not allowed: above 1, whole numbers only")


def _check_name(name: str) -> None:
    if name.startswith(STUDY_PREFIX):
        raise UserError(
            f"name: {name!r} is not allowed: {STUDY_PREFIX}... are the names of studies"
        )
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise UserError(
            f"name: {name!r} is not allowed: it becomes a folder's name; "
            "letters, digits, '.', '_' and '-' only, a letter or digit first"
        )


def parse_assignment(text: str) -> tuple[str, Any]:
    """Split `training.learning_rate=0.001` into a name and a value, read as YAML.

    Raises:
        UserError: The text is no assignment, its value is not YAML, or another flag sets it.
    """
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise UserError(f"set: {text!r} is not allowed: expected SETTING=VALUE")
    if name in _FLAG_OF:
        raise UserError(f"set: {name} is not allowed here: use {_FLAG_OF[name]}")
    try:
        parsed = yaml.safe_load(value)
    except yaml.YAMLError:
        raise UserError(f"set: {name}: {value!r} is not a YAML value") from None
    # YAML 1.1 reads 1e-3, which has no dot, as text.
    if isinstance(parsed, str):
        with contextlib.suppress(ValueError):
            parsed = float(parsed)
    return name, parsed


def parse_arguments(
    arguments: Sequence[str] | None = None, prog: str = "python sweeps/run.py"
) -> SweepSettings:
    """Read the settings from the command line.

    Raises:
        UserError: A value is out of range, or there is no such variant.
    """
    settings = parse(SweepSettings, arguments, prog=prog)
    if settings.is_own:
        # Imports torch to read pictures, which help and the shipped variants do without.
        from weakdis_core.data.own import description_file

        description_file(str(settings.variant))
    words = sys.argv[1:] if arguments is None else arguments
    named = {word.partition("=")[0].replace("_", "-") for word in words}
    given = {
        field
        for field, info in SweepSettings.model_fields.items()
        if f"--{info.alias or field}".replace("_", "-") in named
    }
    # The parser passes every default as well; a resumed sweep keeps settings that no flag names.
    return SweepSettings.model_construct(given, **dict(settings))
