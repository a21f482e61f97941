"""What a user asks of a sweep: every flag of `sweeps/run.py`, validated where it is declared."""

from __future__ import annotations

import contextlib
import datetime
import os
import re
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, Field, model_validator
from tyro.conf import FlagCreatePairsOff, UseAppendAction, arg

from sweeps.cluster.addresses import check_database_path, is_server, scheme_of, without_password
from sweeps.cluster.allotment import Demand
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

# A trial's resources: Ray takes fractions below one, and whole numbers above.
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
    """Search the settings of one variant (or of all six), or train a study of the paper."""

    variant: VariantName | Literal["all"] | None = None
    """Data set variant, or all six one after another. A new sweep needs it; a study trains all of
    its variants by default."""
    name: Annotated[str | None, Field(min_length=1, max_length=100)] = None
    """Name of the sweep and of its folder under the storage; with `--variant all` each sweep is
    called NAME-<variant>. Default: the variant and the time."""
    trials: int = Field(20, ge=1, le=100_000)
    """Most trials to run."""
    time_budget: float = Field(840.0, gt=0, le=10_000_000)
    """Seconds of searching. What runs when they are over is stopped, its last result kept."""
    resume: Annotated[str | None, Field(min_length=1)] = None
    """Name, or folder, of a sweep to go on with: one that was cut short, or with more --trials, a
    larger --time-budget or --confirm-seeds one that has ended. It keeps its other settings."""
    status: Annotated[str | None, Field(min_length=1)] = None
    """Name, or folder, of a sweep to look at: its trials so far. Nothing is started."""
    list: Annotated[bool, FlagCreatePairsOff] = False
    """List the sweeps in the storage, and stop."""
    study: StudyName | None = None
    """Train what is missing or stale of a declared study of the paper, instead of searching: our
    models, the baselines, the ablation, the label curve or the controls. The same command continues
    an interrupted one."""
    seeds: Annotated[tuple[Annotated[int, Field(ge=0)], ...] | None, Field(min_length=1)] = None
    """Training seeds of a study's rows (default: its own, 11 to 15 of the models, 11 to 13 of the
    others, or 11 alone)."""
    max_steps: Annotated[int | None, Field(ge=10, le=10_000_000)] = None
    """Training steps of a full trial, instead of the preset's."""
    seed: int = Field(0, ge=0, le=2**31 - 1)
    """Seed of the search and of the training of every trial."""
    preset: PresetName = "default"
    """Settings that the search starts from: what works, the literal paper, or a first look."""
    sampler: Sampler = "tpe"
    """How Optuna suggests settings."""
    objective: Objective = "pixels"
    """Validation relation accuracy to maximise; pareto: pixel accuracy against labels used."""
    confirm_seeds: int = Field(0, ge=0, le=100)
    """Fresh seeds on which the best configurations are trained again after the search, and
    evaluated once on test; a row of the tables takes 5. It takes time beyond the budget: see
    --plan. 0 confirms nothing."""
    confirm_top: int = Field(1, ge=1, le=100)
    """Configurations to confirm, the best on validation first; under pareto too the most
    accurate, whatever labels they use."""
    search_learning_rate: Annotated[bool, FlagCreatePairsOff] = False
    """Search the autoencoder's learning rate too."""
    set_: Annotated[
        tuple[str, ...],
        Field(alias="set"),
        UseAppendAction,
        arg(name="set", metavar="SETTING=VALUE"),
    ] = ()
    """Fix a setting (`--set training.learning_rate=0.001`); a fixed one is not searched."""
    cpus_per_trial: Annotated[Amount | None, Field()] = None
    """CPUs of a trial (default 1, less where GPUs would wait for CPUs); also its threads, which a
    resumed sweep keeps."""
    gpus_per_trial: Annotated[float | None, Field(ge=0, le=64)] = None
    """GPUs of a trial (default 0.25 where there are GPUs)."""
    max_concurrent: Annotated[int | None, Field(ge=1, le=10_000)] = None
    """Most trials at once (default: as many as fit)."""
    address: str | None = None
    """Ray cluster to run on (`auto` on its head node); default: this machine."""
    storage: Annotated[str | None, Field(min_length=1)] = None
    """Folder of the sweeps: results, checkpoints, Optuna study; default: WEAKDIS_STORAGE of the
    environment, else `runs`. At an address (`s3://bucket/folder`, `gs://...`) only checkpoints lie,
    for a cluster whose machines come and go; the rest is then in `runs` and in MLflow."""
    optuna_storage: Annotated[str | None, Field(min_length=1)] = None
    """Database of the Optuna study (`postgresql://...`), or a journal file, which optuna-dashboard
    can read; default: WEAKDIS_OPTUNA_STORAGE of the environment, else sqlite in `study.db` of the
    sweep's folder."""
    tracking_uri: str | None = None
    """MLflow's database or server; default: MLFLOW_TRACKING_URI of the environment, else sqlite in
    `mlflow.db` of the current folder."""
    data_dir: Annotated[Path, AfterValidator(Path.expanduser)] | None = None
    """Folder of the official files."""
    data_source: Source = "auto"
    """Official files, our own rendering, or official where the files are present (auto)."""
    plan: Annotated[bool, FlagCreatePairsOff] = False
    """Print trials, steps, time and disk of the sweep, and stop."""

    @model_validator(mode="after")
    def _consistent(self) -> SweepSettings:
        # The parser hands over every default as well.
        given = {
            name
            for name, field in SweepSettings.model_fields.items()
            if getattr(self, name) != field.get_default()
        }
        check_study(self.study, self.seeds, given)
        if self.variant is None and not (self.resume or self.status or self.list or self.study):
            allowed = ", ".join([*VARIANTS, "all"])
            raise UserError(f"variant: it is needed, one of {allowed}; or resume, a sweep's name")
        for field, amount in (
            ("cpus_per_trial", self.cpus_per_trial),
            ("gpus_per_trial", self.gpus_per_trial),
        ):
            if amount is not None and amount > 1 and amount != int(amount):
                raise UserError(f"{field}: {amount} is not allowed: above 1, whole numbers only")
        if self.name is not None and self.name.startswith(STUDY_PREFIX):
            raise UserError(
                f"name: {self.name!r} is not allowed: {STUDY_PREFIX}... are the names of studies"
            )
        if self.name is not None and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", self.name):
            raise UserError(
                f"name: {self.name!r} is not allowed: it becomes a folder's name; "
                "letters, digits, '.', '_' and '-' only, a letter or digit first"
            )
        if self.data_dir is not None and not self.data_dir.is_dir():
            raise UserError(f"data_dir: '{self.data_dir}' is not allowed: there is no such folder")
        scheme = scheme_of(self.tracking)
        if "://" not in self.tracking or scheme not in _TRACKING_SCHEMES:
            raise UserError(
                f"tracking_uri: {without_password(self.tracking)!r} is not allowed: "
                "a database or server such as "
                f"sqlite:///mlflow.db, postgresql://... or http://... is needed"
            )
        database = Path(self.tracking.partition(":///")[2] if scheme == "sqlite" else "")
        if not database.parent.is_dir():
            # MLflow would make it.
            raise UserError(
                f"tracking_uri: {self.tracking!r} is not allowed: there is no folder "
                f"{database.parent}"
            )
        check_database_path("tracking_uri", database)
        if scheme_of(self.study_storage or "") == "postgres":
            raise UserError(
                "optuna_storage: postgres:// is not allowed: the address begins with postgresql://"
            )
        if self.study_storage is None:
            check_database_path("storage", self.folder)
        self._check_outlives_the_head()
        if self.objective == "pareto" and "data.labels" in self.fixed:
            raise UserError(
                "objective: pareto weighs accuracy against data.labels, which --set fixes; "
                "use pixels, latent or encoded, or leave data.labels free"
            )
        return self

    def _check_outlives_the_head(self) -> None:
        """Where checkpoints outlive the machine, so must all else that a sweep is resumed from."""
        root = self.checkpoints.root
        if not self.checkpoints.remote:
            return
        if scheme_of(root) not in _STORAGE_SCHEMES:
            known = ", ".join(f"{scheme}://" for scheme in _STORAGE_SCHEMES)
            raise UserError(f"storage: {root!r} is not allowed: a folder is needed, or {known}")
        shown = without_password(root)
        if shown != root:
            raise UserError(f"storage: {shown!r} is not allowed: keys belong in the environment")
        local = "is not allowed with a storage elsewhere: it would be lost with this machine"
        study = self.study_storage
        if study is None or "://" not in study or scheme_of(study) == "sqlite":
            raise UserError(
                f"optuna_storage: {study or 'study.db of the folder'} {local}; "
                "a database such as postgresql://... is needed"
            )
        if not is_server(self.tracking):
            # Other machines reach a database such as PostgreSQL, but no server keeps its files.
            raise UserError(
                f"tracking_uri: {without_password(self.tracking)!r} is not allowed with a storage "
                "elsewhere: MLflow's files would be lost with this machine; http://... of a "
                "server is needed"
            )

    @property
    def folder(self) -> Path:
        """Folder of the sweeps on this machine."""
        place = self._storage
        return (Path("runs") if "://" in place else Path(place).expanduser()).absolute()

    @property
    def checkpoints(self) -> Storage:
        """Where checkpoints lie."""
        place = self._storage
        return Storage(place if "://" in place else str(self.folder))

    @property
    def _storage(self) -> str:
        return self.storage or os.environ.get("WEAKDIS_STORAGE") or "runs"

    @property
    def study_storage(self) -> str | None:
        """Database of the Optuna study, if it is not in the sweep's folder."""
        named = self.optuna_storage or os.environ.get("WEAKDIS_OPTUNA_STORAGE") or None
        return str(Path(named).expanduser()) if named and "://" not in named else named

    @property
    def variants(self) -> tuple[str, ...]:
        """The variants to search, or those of the study, in order."""
        if self.study is not None:
            used = study_variants(self.study)
            return tuple(name for name in used if self.variant in (None, "all", name))
        if self.variant is None:
            return ()
        return tuple(VARIANTS) if self.variant == "all" else (self.variant,)

    @property
    def tracking(self) -> str:
        """Where MLflow keeps the runs."""
        named = self.tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db"
        scheme, _, path = named.partition(":///")
        # A shell expands the ~ of a word alone, not that of --tracking-uri=sqlite:///~/mlflow.db.
        return f"sqlite:///{Path(path).expanduser().absolute()}" if scheme == "sqlite" else named

    @property
    def fixed(self) -> dict[str, Any]:
        """The settings fixed with `--set`, by dotted name."""
        return dict(parse_assignment(text) for text in self.set_)

    @property
    def demand(self) -> Demand:
        """What the user asks for a trial."""
        return Demand(self.cpus_per_trial, self.gpus_per_trial, self.max_concurrent)

    def sweep_names(self) -> dict[str, str]:
        """The name of each variant's sweep."""
        if self.study is not None:
            return {
                variant: study_name(self.study, variant, self.data_source, self.data_dir)
                for variant in self.variants
            }
        if self.name is None:
            now = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
            return {variant: f"{variant}-{now}" for variant in self.variants}
        if self.variant == "all":
            return {variant: f"{self.name}-{variant}" for variant in self.variants}
        return dict.fromkeys(self.variants, self.name)

    def check_storage(self) -> None:
        """Find out before anything starts whether the sweeps' folders can be made.

        Raises:
            UserError: The storage cannot be written.
        """
        for storage in {Storage(str(self.folder)), self.checkpoints}:
            storage.check()

    def base_config(self, variant: str) -> Config:
        """The settings every trial of a variant's sweep shares, before the search changes any.

        Raises:
            UserError: A setting fixed with `--set` is unknown or out of range.
        """
        threads = {"runtime.threads": max(1, int(self.cpus_per_trial or 1))}
        if self.study is not None:
            declared = ours(variant, self.data_source)[0].config
            return declared.with_values(threads | self.places())
        changes: dict[str, Any] = {"seed": self.seed, "data.source": self.data_source, **threads}
        if self.max_steps is not None:
            changes["training.steps"] = self.max_steps
        return preset(self.preset, variant).with_values(changes | self.places() | self.fixed)

    def places(self) -> dict[str, Any]:
        """The settings of a run that say where things lie, by dotted name."""
        return {} if self.data_dir is None else {"runtime.data_dir": str(self.data_dir.absolute())}


def parse_assignment(text: str) -> tuple[str, Any]:
    """`training.learning_rate=0.001` as a name and a value, read as YAML.

    Raises:
        UserError: It is no assignment, its value is not YAML, or another flag sets it.
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
    # YAML 1.1 reads 1e-3 as text: a number without a dot must not surprise.
    if isinstance(parsed, str):
        with contextlib.suppress(ValueError):
            parsed = float(parsed)
    return name, parsed


def parse_arguments(arguments: list[str] | None = None) -> SweepSettings:
    """The settings given on the command line.

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
    # The parser hands over every default as well; a resumed sweep keeps what no flag names.
    return SweepSettings.model_construct(given, **dict(settings))
