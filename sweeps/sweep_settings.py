"""The flags of `sweeps/run.py`, and their validation."""

import contextlib
import datetime
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import AfterValidator, Field, model_validator
from tyro.conf import FlagCreatePairsOff, UseAppendAction, arg

from sweeps.cluster.addresses import check_database_path, is_server, scheme_of, without_password
from sweeps.cluster.allotment import Allotment, allot
from sweeps.cluster.storage import Storage
from sweeps.names import Objective
from sweeps.study_names import STUDY_PREFIX, check_study, study_name
from weakdis_core.cli.console import parse
from weakdis_core.config.config import Config
from weakdis_core.config.settings import Settings, Source, VariantName
from weakdis_core.data.variants import VARIANTS
from weakdis_core.errors import UserError
from weakdis_core.presets import PresetName, preset
from weakdis_core.rows import ours
from weakdis_core.studies import StudyName, study_variants

Sampler = Literal["tpe", "random", "nsga2"]

Amount = Annotated[float, Field(gt=0, le=1024)]

_FLAG_OF = {
    "data.variant": "--variant",
    "data.source": "--data-source",
    "runtime.data_dir": "--data-dir",
    "seed": "--seed",
    "training.steps": "--max-steps",
}
_STORAGE_SCHEMES = ("s3", "gs", "gcs", "abfs", "abfss", "hdfs")
_TRACKING_SCHEMES = ("sqlite", "postgresql", "mysql", "mssql", "http", "https", "databricks")


class SweepSettings(Settings):
    """Search the settings of one variant or of all six, or train a study of the paper."""

    variant: VariantName | Literal["all"] | None = None
    """Variant of the data, or all six one after another. A new sweep needs it; a study trains all
    of its variants by default."""
    name: Annotated[str | None, Field(min_length=1, max_length=100)] = None
    """Name of the sweep and of its folder in the storage; with `--variant all` each sweep is
    called NAME-<variant>. Default: the variant and the time."""
    trials: int = Field(20, ge=1, le=100_000)
    """Most trials to run."""
    time_budget: float = Field(840.0, gt=0, le=10_000_000)
    """Seconds for the search. Trials that still run at the end are stopped."""
    resume: Annotated[str | None, Field(min_length=1)] = None
    """Name or folder of a sweep to continue: one that was cut short, or one that has ended, with
    more --trials, --time-budget or --confirm-seeds. It keeps its other settings."""
    status: Annotated[str | None, Field(min_length=1)] = None
    """Name or folder of a sweep whose trials are listed. Nothing is started."""
    list: Annotated[bool, FlagCreatePairsOff] = False
    """List the sweeps in the storage, and stop."""
    study: StudyName | None = None
    """Instead of a search, train the missing and stale runs of a declared study of the paper: our
    models, the baselines, the ablation, the label curve or the controls. The same command
    continues an interrupted study."""
    seeds: Annotated[tuple[Annotated[int, Field(ge=0)], ...] | None, Field(min_length=1)] = None
    """Training seeds of a study (default: those it declares, 11 to 15 for the models, 11 to 13 or
    11 alone for other rows)."""
    max_steps: Annotated[int | None, Field(ge=10, le=10_000_000)] = None
    """Training steps of a full trial (default: those of the preset)."""
    seed: int = Field(0, ge=0, le=2**31 - 1)
    """Seed of the search and of the training of every trial."""
    preset: PresetName = "default"
    """Settings that the search starts from: our own, the paper's, or small ones for a try."""
    sampler: Sampler = "tpe"
    """Optuna sampler that suggests settings."""
    objective: Objective = "pixels"
    """Validation relation accuracy to maximise; pareto: pixel accuracy against labels used."""
    confirm_seeds: int = Field(0, ge=0, le=100)
    """Fresh seeds on which the best configurations are trained again after the search and scored
    once on test, outside the time budget (see --plan). A row of the tables takes 5."""
    confirm_top: int = Field(1, ge=1, le=100)
    """Configurations to confirm, the most accurate on validation first, also under pareto."""
    search_learning_rate: Annotated[bool, FlagCreatePairsOff] = False
    """Search the autoencoder's learning rate too."""
    set_: Annotated[
        tuple[str, ...],
        Field(alias="set"),
        UseAppendAction,
        arg(name="set", metavar="SETTING=VALUE"),
    ] = ()
    """Fix a setting, which is then not searched (`--set training.learning_rate=0.001`)."""
    cpus_per_trial: Annotated[Amount | None, Field()] = None
    """CPUs of a trial (default: 1, or fewer if GPUs would stay idle); also its threads, which a
    resumed sweep keeps."""
    gpus_per_trial: Annotated[float | None, Field(ge=0, le=64)] = None
    """GPUs of a trial (default: 0.25 if there are GPUs)."""
    max_concurrent: Annotated[int | None, Field(ge=1, le=10_000)] = None
    """Most trials at once (default: as many as fit)."""
    address: str | None = None
    """Ray cluster to run on (`auto` on its head node); default: this machine."""
    storage: Annotated[str | None, Field(min_length=1)] = None
    """Folder of the sweeps, for results, checkpoints and Optuna studies; default: WEAKDIS_STORAGE
    of the environment, else `runs`. An address (`s3://bucket/folder`, `gs://...`) holds
    checkpoints only, for a cluster whose machines come and go; the rest is in `runs` and in
    MLflow."""
    optuna_storage: Annotated[str | None, Field(min_length=1)] = None
    """Database of the Optuna study (`postgresql://...`), or a journal file, which optuna-dashboard
    can read; default: WEAKDIS_OPTUNA_STORAGE of the environment, else `study.db` in the sweep's
    folder."""
    tracking_uri: str | None = None
    """MLflow's database or server; default: MLFLOW_TRACKING_URI of the environment, else
    `mlflow.db` in the current folder."""
    system_metrics: Annotated[bool, FlagCreatePairsOff] = False
    """Log CPU, memory, disk, network and GPU of this machine every 10 seconds, with the run of the
    sweep in MLflow."""
    data_dir: Annotated[Path, AfterValidator(Path.expanduser)] | None = None
    """Folder of the official files."""
    data_source: Source = "auto"
    """Official files, our own rendering, or official files if they are present (auto)."""
    plan: Annotated[bool, FlagCreatePairsOff] = False
    """Print trials, steps, time and disk of the sweep, and stop."""

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
            raise UserError(f"variant: it is needed, one of {allowed}; or resume, a sweep's name")
        _check_amount("cpus_per_trial", self.cpus_per_trial)
        _check_amount("gpus_per_trial", self.gpus_per_trial)
        if self.name is not None:
            _check_name(self.name)
        if self.data_dir is not None and not self.data_dir.is_dir():
            raise UserError(f"data_dir: '{self.data_dir}' is not allowed: there is no such folder")
        _check_tracking(self.tracking)
        if scheme_of(self.study_storage or "") == "postgres":
            raise UserError(
                "optuna_storage: postgres:// is not allowed: the address begins with postgresql://"
            )
        if self.study_storage is None:
            check_database_path("storage", self.folder)
        if self.checkpoints.remote:
            _check_remote(self.checkpoints.root, self.study_storage, self.tracking)
        if self.objective == "pareto" and "data.labels" in self.fixed:
            raise UserError(
                "objective: pareto weighs accuracy against data.labels, which --set fixes; "
                "use pixels, latent or encoded, or leave data.labels free"
            )
        return self

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
        changes |= {"seed": self.seed, "data.source": self.data_source}
        if self.max_steps is not None:
            changes["training.steps"] = self.max_steps
        return preset(self.preset, variant).with_values(changes | self.fixed)

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


def _check_tracking(address: str) -> None:
    scheme = scheme_of(address)
    if "://" not in address or scheme not in _TRACKING_SCHEMES:
        raise UserError(
            f"tracking_uri: {without_password(address)!r} is not allowed: a database or server "
            "such as sqlite:///mlflow.db, postgresql://... or http://... is needed"
        )
    database = Path(address.partition(":///")[2] if scheme == "sqlite" else "")
    if not database.parent.is_dir():
        # MLflow would create the folder.
        raise UserError(
            f"tracking_uri: {address!r} is not allowed: there is no folder {database.parent}"
        )
    check_database_path("tracking_uri", database)


def _check_remote(storage: str, study: str | None, tracking: str) -> None:
    """Check that the study and MLflow's files outlive this machine, as the checkpoints do."""
    if scheme_of(storage) not in _STORAGE_SCHEMES:
        known = ", ".join(f"{scheme}://" for scheme in _STORAGE_SCHEMES)
        raise UserError(f"storage: {storage!r} is not allowed: a folder is needed, or {known}")
    shown = without_password(storage)
    if shown != storage:
        raise UserError(f"storage: {shown!r} is not allowed: keys belong in the environment")
    if study is None or "://" not in study or scheme_of(study) == "sqlite":
        local = "is not allowed with a storage elsewhere: it would be lost with this machine"
        raise UserError(
            f"optuna_storage: {study or 'study.db of the folder'} {local}; "
            "a database such as postgresql://... is needed"
        )
    if not is_server(tracking):
        # Other machines reach a database such as PostgreSQL, but MLflow's files are on this one.
        raise UserError(
            f"tracking_uri: {without_password(tracking)!r} is not allowed with a storage "
            "elsewhere: MLflow's files would be lost with this machine; http://... of a "
            "server is needed"
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


def parse_arguments(arguments: list[str] | None = None) -> SweepSettings:
    """Read the settings from the command line.

    Raises:
        UserError: A value is out of range.
    """
    settings = parse(SweepSettings, arguments, prog="python sweeps/run.py")
    words = sys.argv[1:] if arguments is None else arguments
    flags = {word.partition("=")[0].replace("_", "-") for word in words}
    given = {
        field
        for field, info in SweepSettings.model_fields.items()
        if f"--{info.alias or field}".replace("_", "-") in flags
    }
    # The parser passes every default as well; a resumed sweep keeps settings that no flag names.
    return SweepSettings.model_construct(given, **dict(settings))
