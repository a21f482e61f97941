"""Origin of the numbers of a sweep and of the results page, and the command to repeat them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import yaml

from analysis.data.declared import DeclaredRows, is_on_cpu
from analysis.data.tracked_sweep import TrackedSweep
from analysis.tables.rendering import format_duration
from weakdis_core.config.config import Config, validated
from weakdis_core.data.own import data_settings
from weakdis_core.errors import UserError
from weakdis_core.presets import preset
from weakdis_core.rows import Row

_VERSION = "version."
# Settings that depend on the machine, or have a flag of their own.
_OWN_FLAGS = ("runtime.", "data.variant", "data.source", "model.kind")


def parse_config(params: Mapping[str, str]) -> Config:
    """Parse a trial's settings from the params of its run, which are text.

    Raises:
        UserError: A setting is unknown to this version of weakdis, or not allowed.
    """
    settings: dict[str, object] = {}
    for name, text in params.items():
        group, _, rest = name.rpartition(".")
        inside = settings.setdefault(group, {}) if group else settings
        assert isinstance(inside, dict)
        inside[rest] = None if text == "None" else yaml.safe_load(text)
    data = settings.get("data")
    if isinstance(data, dict) and (digest := data.get("description")) is not None:
        data["description"] = _find_description(str(data["variant"]), str(digest))
    return validated(settings)


def _find_description(name: str, digest: str) -> dict[str, Any]:
    """Return the description of own pictures on this machine."""
    found: dict[str, Any] = data_settings(name).get("description", {})
    if found.get("digest") != digest:
        raise UserError(
            f"variant: the own pictures {name} of this machine have not the digest {digest}"
        )
    return found


def build_command(config: Config) -> str:
    """Build the command that trains a configuration again, on one machine and without Ray."""
    kind = config.model.kind
    defaults = preset("default", config.data.variant, kind).flat()
    flags = [f"--variant {config.data.variant}"]
    flags += [f"--model {kind}"] if kind != "modular" else []
    if config.data.description is None:
        flags.append(f"--data.source {config.data.source}")
    for name, value in config.flat().items():
        if not name.startswith(_OWN_FLAGS) and defaults.get(name) != value:
            flags.append(f"--{name.replace('_', '-')} {value}")
    return " ".join(["weakdis train", *flags])


def count_core_hours(sweep: TrackedSweep) -> float:
    """Count the core-hours that the trials and confirm runs of a sweep trained."""
    cores = float(sweep.run.data.params.get("cpus_per_trial", "nan"))
    return float(pd.concat([sweep.trials, sweep.confirmed])["seconds"].sum()) / 3600 * cores


def describe_sweep(sweep: TrackedSweep) -> dict[str, str]:
    """Describe the versions, commit, data, machines and time behind a sweep."""
    run, tags, params, best = sweep.run, sweep.run.data.tags, sweep.run.data.params, sweep.best
    trials = pd.concat([sweep.trials, sweep.confirmed])
    gpus = float(params.get("gpus_per_trial", "nan"))
    began = pd.Timestamp(run.info.start_time, unit="ms", tz="UTC")
    last = pd.concat([trials["finished"], trials["started"]]).max()
    took = format_duration((last - began).total_seconds()) if len(trials) else "nothing so far"
    hours = trials["seconds"].sum() / 3600
    inputs = run.inputs.dataset_inputs if run.inputs else []
    # Identifies the images.
    digest = inputs[0].dataset.digest if inputs else "unknown"
    winner = "none yet"
    if best is not None:
        winner = (
            f"trial {int(best['trial_id'])}, config {best['config_hash']}, seed {best['seed']}, "
            f"MLflow run {best['run_id']}"
        )
    return {
        "sweep": f"{sweep.name}, MLflow run {run.info.run_id}, {run.info.status.lower()}",
        "time": f"began {began:%Y-%m-%d %H:%M} UTC and took {took}",
        "code": f"weakdis {tags.get(f'{_VERSION}weakdis', '?')}, commit {tags['git_commit']}",
        "data": f"{sweep.source} images of {sweep.variant}, at most {params['data.max_images']}, "
        f"split by seed {params['data.data_seed']}, digest {digest}",
        "best": winner,
        "search": f"{params['sampler']} sampler, objective {params['objective']}, "
        f"preset {params['preset']}, seed {tags['seed']}, up to {params['trials']} trials or "
        f"{float(params['time_budget']):g} s",
        "training": f"{len(sweep.trials)} trials and {len(sweep.confirmed)} confirm runs, "
        f"{count_core_hours(sweep):.2f} core-hours"
        + (f", {hours * gpus:.2f} GPU-hours" if gpus else ""),
        "devices": ", ".join(sorted(trials["device"].dropna().unique())) or "unknown",
        "machines": ", ".join(sorted(set(" ".join(trials["host"].dropna()).split()))) or "unknown",
        "libraries": ", ".join(
            f"{name.removeprefix(_VERSION)} {version}"
            for name, version in sorted(tags.items())
            if name.startswith(_VERSION) and name != f"{_VERSION}weakdis"
        ),
    }


def describe_training(declared: DeclaredRows, rows: Sequence[Row]) -> str:
    """Describe the code, libraries and machines that trained some declared rows, and the cost."""
    runs = declared.runs(rows)
    sentences = _describe_runs(declared, runs) if len(runs) else ["No run of these versions yet."]
    if declared.left_out:
        others = "runs of another version of the core or of scikit-learn"
        sentences.append(f"{declared.left_out} {others} are left out.")
    return " ".join(sentences)


def _describe_runs(declared: DeclaredRows, runs: pd.DataFrame) -> list[str]:
    on_cpu = is_on_cpu(runs)
    seconds = runs[on_cpu]["cpu_seconds"] + runs[on_cpu]["scoring_seconds"]
    values = {
        "torch": runs["torch"],
        "NumPy": runs["numpy"],
        "Python": runs["python"],
        "on": runs["machine"] + " (" + runs["device"] + ")",
        "commits": runs["commit"].str[:10],
    }
    made = "; ".join(
        f"{name} {', '.join(sorted(column.astype(str).unique()))}"
        for name, column in values.items()
    )
    sentences = [
        f"{len(runs)} runs, {seconds.sum() / 3600:.1f} core-hours, "
        f"{runs['finished'].min():%Y-%m-%d} to {runs['finished'].max():%Y-%m-%d}; core version "
        f"{declared.versions.code}, scikit-learn {declared.versions.scikit_learn}; {made}."
    ]
    if not on_cpu.all():
        names = "; ".join(runs[~on_cpu]["row"].unique())
        sentences.append(
            f"{(~on_cpu).sum()} of them were trained on a GPU, in float32 like the others, and do "
            f"not count in the core-hours: {names}."
        )
    return sentences
