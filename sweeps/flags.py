"""The flags of a sweep in groups, as `--help` shows them."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field
from tyro.conf import FlagCreatePairsOff, UseAppendAction, arg

from weakdis_core.config.settings import ModelKind, Settings, Source
from weakdis_core.presets import PresetName
from weakdis_core.studies import StudyName

Objective = Literal["pixels", "latent", "encoded", "pareto"]
Sampler = Literal["tpe", "random", "nsga2"]
Amount = Annotated[float, Field(gt=0, le=1024)]
_Text = Annotated[str, Field(min_length=1)]


class SearchSettings(Settings):
    """What to search."""

    variant: Annotated[str | None, arg(metavar="VARIANT")] = None
    """dsprites_v2, dsprites_v3, dsprites_v4, shapes3d_v2, shapes3d_v3, shapes3d_v5, all of them one
    after another, or own pictures by their name or description. A new sweep needs it; a study
    trains all of its variants by default."""
    preset: PresetName = "default"
    """Settings that the search starts from: our own, the paper's, or small ones for a try."""
    model: ModelKind = "modular"
    """Kind of model: ours (modular), the previous work's (monolithic), or another baseline."""
    objective: Objective = "pixels"
    """Validation relation accuracy to maximise; pareto: pixel accuracy against labels used. For own
    pictures whose classifier is not to be trusted the default is encoded."""
    sampler: Sampler = "tpe"
    """Optuna sampler that suggests settings."""
    set_: Annotated[
        tuple[str, ...],
        Field(alias="set"),
        UseAppendAction,
        arg(name="set", metavar="SETTING=VALUE"),
    ] = ()
    """Fix a setting, which is then not searched (`--set training.learning_rate=0.001`)."""
    search_learning_rate: Annotated[bool, FlagCreatePairsOff] = False
    """Search the autoencoder's learning rate too."""
    max_steps: Annotated[int | None, Field(ge=10, le=10_000_000)] = None
    """Training steps of a full trial (default: those of the preset)."""
    seed: int = Field(0, ge=0, le=2**31 - 1)
    """Seed of the search and of the training of every trial."""


class BudgetSettings(Settings):
    """How much to train."""

    trials: int = Field(20, ge=1, le=100_000)
    """Most trials to run."""
    time_budget: Annotated[float, arg(metavar="SECONDS")] = Field(840.0, gt=0, le=10_000_000)
    """Seconds for the search. Trials that still run at the end are stopped."""
    confirm_seeds: int = Field(0, ge=0, le=100)
    """Fresh seeds on which the best configurations are trained again after the search and scored
    once on test, outside the time budget (see --plan). A row of the tables takes 5."""
    confirm_top: int = Field(1, ge=1, le=100)
    """Configurations to confirm, the most accurate on validation first, also under pareto."""
    plan: Annotated[bool, FlagCreatePairsOff] = False
    """Print the phases of the sweep, their time and the disk they need, and stop."""


class ResumeSettings(Settings):
    """Continue a sweep, or look at one."""

    resume: Annotated[_Text | None, arg(metavar="NAME")] = None
    """Name or folder of a sweep to continue: one that was cut short, or one that has ended, with
    more --trials, --time-budget or --confirm-seeds. It keeps its other settings."""
    status: Annotated[_Text | None, arg(metavar="NAME")] = None
    """Name or folder of a sweep whose trials are listed. Nothing is started."""
    list: Annotated[bool, FlagCreatePairsOff] = False
    """List the sweeps in the storage, and stop."""


class StudySettings(Settings):
    """The runs behind the paper's tables, instead of a search."""

    study: StudyName | None = None
    """Train the missing and stale runs of a declared study: our models, the baselines, the
    ablation, the label curve or the controls. The same command continues an interrupted study."""
    seeds: Annotated[
        tuple[Annotated[int, Field(ge=0)], ...] | None, Field(min_length=1), arg(metavar="SEED ...")
    ] = None
    """Training seeds of a study (default: those it declares, 11 to 15 for the models, 11 to 13 or
    11 alone for other rows)."""


class ResourceSettings(Settings):
    """Where trials run."""

    cpus_per_trial: Amount | None = None
    """CPUs of a trial (default: 1, or fewer if GPUs would stay idle); also its threads, which a
    resumed sweep keeps."""
    gpus_per_trial: Annotated[float | None, Field(ge=0, le=64)] = None
    """GPUs of a trial (default: 0.25 if there are GPUs)."""
    max_concurrent: Annotated[int | None, Field(ge=1, le=10_000)] = None
    """Most trials at once (default: as many as fit)."""
    address: Annotated[str | None, arg(metavar="ADDRESS")] = None
    """Ray cluster to run on (`auto` on its head node); default: this machine."""


class StorageSettings(Settings):
    """Where data comes from and results go."""

    name: Annotated[str | None, Field(min_length=1, max_length=100), arg(metavar="NAME")] = None
    """Name of the sweep and of its folder in the storage; with `--variant all` each sweep is
    called NAME-<variant>. Default: the variant and the time."""
    storage: Annotated[_Text | None, arg(metavar="FOLDER")] = None
    """Folder of the sweeps, for results, checkpoints and Optuna studies; default: WEAKDIS_STORAGE
    of the environment, else `runs`. An address (`s3://bucket/folder`, `gs://...`) holds
    checkpoints only, for a cluster whose machines come and go; the rest is in `runs` and in
    MLflow."""
    optuna_storage: Annotated[_Text | None, arg(metavar="DATABASE")] = None
    """Database of the Optuna study (`postgresql://...`), or a journal file, which optuna-dashboard
    can read; default: WEAKDIS_OPTUNA_STORAGE of the environment, else `study.db` in the sweep's
    folder."""
    tracking_uri: Annotated[str | None, arg(metavar="URI")] = None
    """MLflow's database or server; default: MLFLOW_TRACKING_URI of the environment, else
    `mlflow.db` in the current folder."""
    system_metrics: Annotated[bool, FlagCreatePairsOff] = False
    """Log CPU, memory, disk, network and GPU of this machine every 10 seconds, with the run of the
    sweep in MLflow."""
    no_pictures: Annotated[bool, FlagCreatePairsOff] = False
    """Keep pictures of the data out of the sweep's folder, checkpoints, MLflow, the report and the
    registered models."""
    data_dir: Annotated[
        Annotated[Path, AfterValidator(Path.expanduser)] | None, arg(metavar="FOLDER")
    ] = None
    """Folder of the official files."""
    data_source: Source = "auto"
    """Official files, our own rendering, or official files if they are present (auto)."""
