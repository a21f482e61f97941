"""What MLflow stores of a sweep and its trials: params, tags, images, and notes in Markdown."""

from __future__ import annotations

import functools
import importlib.metadata
import json
import platform
import subprocess
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from mlflow.data.code_dataset_source import CodeDatasetSource
from mlflow.data.dataset_source import DatasetSource
from mlflow.data.http_dataset_source import HTTPDatasetSource
from mlflow.data.meta_dataset import MetaDataset
from mlflow.data.schema import TensorDatasetSchema
from mlflow.types import Schema, TensorSpec
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NOTE
from optuna.distributions import distribution_to_json

from sweeps.names import KINDS, METRICS
from sweeps.state.stage import Sweep
from sweeps.state.trials import Trials
from sweeps.text import format_duration, format_settings
from sweeps.tracking.leaderboard_view import saved_view
from sweeps.trial import Stage, TrialRecord
from weakdis_core.config.config import Config
from weakdis_core.data.official import FILES
from weakdis_core.data.prepared import Prepared, open_prepared
from weakdis_core.data.splits import splits_of
from weakdis_core.version import CODE_VERSION

_LIBRARIES = ("weakdis", "torch", "ray", "optuna", "mlflow", "numpy", "scikit-learn")
_ASKED = {
    "trials", "time_budget", "confirm_seeds", "confirm_top", "objective", "sampler", "preset",
}  # fmt: skip
_SHOWN = ("data.labels", "model.latent_size", "loss.lambda", "training.warmup", "seed")


@dataclass(frozen=True)
class SweepRun:
    """The parts that the MLflow runs of a sweep share.

    Attributes:
        name: Name of the sweep.
        base: Settings that its trials share.
        tags: Tags of the parent and of every child.
        params: Params of the parent.
        dataset: The images, as `training_images` returns them.
        description: Description of the parent.
        experiment: Tags of the experiment.
    """

    name: str
    base: Config
    tags: dict[str, str]
    params: dict[str, Any]
    dataset: dict[str, str] = field(default_factory=dict)
    description: str = ""
    experiment: dict[str, str] = field(default_factory=dict)


def describe_sweep(sweep: Sweep) -> SweepRun:
    """Describe a sweep for MLflow; its params are what was asked for, searched and fixed."""
    settings = sweep.settings
    tags = common_tags(sweep.base, sweep.base.data.source)
    experiment = {MLFLOW_RUN_NOTE: _experiment_note(sweep.base.data.variant)}
    images = training_images(open_prepared(sweep.prepared), sweep.base)
    params: dict[str, Any] = {
        "cpus_per_trial": sweep.allotment.cpus,
        "gpus_per_trial": sweep.allotment.gpus,
        "max_concurrent": sweep.allotment.concurrent,
    }
    if settings.study is not None:
        params |= {"study": settings.study, "seeds": settings.seeds}
        tags |= {"study": settings.study}
        note = _study_note(sweep)
        return SweepRun(sweep.name, sweep.base, tags, params, images, note, experiment)
    params |= settings.model_dump(include=_ASKED)
    # `optuna.distributions.json_to_distribution` restores them.
    params |= {f"space.{name}": distribution_to_json(v) for name, v in sweep.space.items()}
    params |= {k: v for k, v in sweep.base.flat().items() if k not in sweep.space}
    steps, metric = sweep.base.training.steps, METRICS[settings.objective]
    experiment |= dict([saved_view(sweep.name, metric, list(sweep.space), steps)])
    return SweepRun(sweep.name, sweep.base, tags, params, images, _sweep_note(sweep), experiment)


def _experiment_note(variant: str) -> str:
    return (
        f"Sweeps of {variant}. The menu **Views** opens the leaderboard of a sweep; the chart "
        "button there shows its curves and pictures."
    )


def _sweep_note(sweep: Sweep) -> str:
    settings, data, resume = sweep.settings, sweep.base.data, sweep.resume_command
    return (
        f"Sweep `{sweep.name}` of {data.variant} ({data.source} images): up to {settings.trials} "
        f"trials in {format_duration(settings.time_budget)}, suggested by Optuna's "
        f"{settings.sampler} sampler for the objective {settings.objective} "
        f"(`{METRICS[settings.objective]}`). Searched: "
        f"{', '.join(f'`{name}`' for name in sweep.space)}; the rest is the preset "
        f"`{settings.preset}`. Its trials are the runs with the tag `sweep` = `{sweep.name}`.\n\n"
        f"Go on: `{resume}`, to a confirmation: `{resume} --confirm-seeds 5`."
    )


def _study_note(sweep: Sweep) -> str:
    data = sweep.base.data
    return (
        f"Runs of the study `{sweep.settings.study}` on {data.variant} ({data.source} images). The "
        "tag `row` of each is its row in the tables.\n\n"
        f"Go on: `{sweep.resume_command}`."
    )


def common_tags(config: Config, source: str) -> dict[str, str]:
    """Return the tags of every run: variant, data source, seed, commit and versions."""
    versions = {f"version.{name}": importlib.metadata.version(name) for name in _LIBRARIES}
    return {
        "variant": config.data.variant,
        "data.source": source,
        "seed": str(config.seed),
        "git_commit": git_commit(),
        "version.core": str(CODE_VERSION),
        "version.python": platform.python_version(),
        **versions,
    }


@functools.cache
def git_commit() -> str:
    """Return the commit of this code, with `-dirty` if it was changed; `unknown` without one."""
    describe = ("describe", "--always", "--abbrev=40", "--dirty", "--exclude=*")
    try:
        # Fails for installed code inside a repository that does not track it.
        _git("ls-files", "--error-unmatch", Path(__file__).name)
        return _git(*describe) or "unknown"
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def _git(*words: str) -> str:
    here = Path(__file__).parent
    done = subprocess.run(
        ["git", *words], cwd=here, capture_output=True, text=True, timeout=10, check=True
    )
    return done.stdout.strip()


def training_images(prepared: Prepared, config: Config) -> dict[str, str]:
    """Describe a variant's images with the fields of `mlflow.entities.Dataset`.

    The number of labels is left out, as it differs between trials.
    """
    variant = prepared.variant
    images = TensorSpec(prepared.images.dtype, (-1, *prepared.images.shape[1:]), "images")
    factors = TensorSpec(np.dtype(np.int64), (-1, len(variant.factors)), "factors")
    parts = splits_of(prepared, config.data.data_seed)
    profile = {
        "source": prepared.source,
        "images": len(prepared.images),
        "image_shape": list(prepared.images.shape[1:]),
        "combinations": variant.n_combinations,
        "factors": dict(zip(variant.factor_names, variant.n_values, strict=True)),
        "train": len(parts.train),
        "validation": len(parts.validation),
        "test": len(parts.test),
    }
    schema = TensorDatasetSchema(Schema([images]), Schema([factors]))
    # Its type is abstract, but MLflow's documentation creates instances.
    known = MetaDataset(_source(prepared), variant.name, prepared.digest)  # type: ignore[abstract]
    return known.to_dict() | {
        "schema": json.dumps(schema.to_dict()),
        "profile": json.dumps(profile),
    }


def _source(prepared: Prepared) -> DatasetSource:
    """Return the published file, or the code that rendered the images."""
    if prepared.source == "official":
        family = prepared.variant.family
        url = next(file.url for file in FILES if file.family == family)
        return HTTPDatasetSource(url)  # type: ignore[no-untyped-call]
    if prepared.source == "own":
        tags = {"mlflow.source.name": f"own pictures {prepared.variant.name}"}
        return CodeDatasetSource(tags)
    tags = {"mlflow.source.name": "weakdis_core/data", "mlflow.source.git.commit": git_commit()}
    return CodeDatasetSource(tags)


def describe_best(trials: Trials) -> str:
    """Describe the best complete trial and count the outcomes; empty if no trial has ended."""
    ends = Counter(record.outcome.replace("_", " ") for record in trials.ended())
    best = trials.best()
    found = "No complete trial so far" if best is None else (
        f"**Best so far: trial {best.number}** (`{best.trial_id}`), {best.score:.3f} on validation"
    )  # fmt: skip
    counts = ", ".join(f"{number} {end}" for end, number in ends.items())
    return f"{found}; ended: {counts}." if counts else ""


def describe_trial(
    sweep: SweepRun, record: TrialRecord, stage: Stage, test: Mapping[str, float]
) -> str:
    """Describe a trial: its settings, outcome and scores; `test` holds `test/...`."""
    settings = sweep.base.flat() | record.values
    shown = record.values if stage == "study" else {name: settings[name] for name in _SHOWN}
    kind = {"search": "Search trial", "confirm": "Confirm run", "study": "Run"}[stage]
    lines = [
        f"{kind} {record.number} of the sweep `{sweep.name}` on {sweep.base.data.variant}: "
        f"`{format_settings(shown)}`."
    ]
    if record.outcome == "running":
        lines.append("It is running.")
    else:
        reason = f" ({record.error[:300]})" if record.error else ""
        end = record.outcome.replace("_", " ") + reason
        lines.append(
            f"Ended: {end}, after {record.step} steps in {format_duration(record.seconds)}."
        )
    parts = {"validation": ("val", record.metrics), "test": ("test", test)}
    for words, (part, scores) in parts.items():
        names = {kind: f"{part}/relation_accuracy_{kind}" for kind in KINDS}
        found = [f"{kind} {scores[name]:.3f}" for kind, name in names.items() if name in scores]
        if found:
            lines.append(f"Relation accuracy on {words}: {', '.join(found)}.")
    return "\n\n".join(lines)
