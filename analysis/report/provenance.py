"""Where the numbers of a sweep and of the results page come from, and how to repeat them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
import yaml

from analysis.data.declared import DeclaredRows, is_on_cpu
from analysis.data.tracked_sweep import TrackedSweep
from analysis.tables.rendering import format_duration
from weakdis_core.config.config import Config, validated
from weakdis_core.presets import preset
from weakdis_core.rows import Row

_VERSION = "version."
# What a machine has, and what a flag of its own says.
_UNTOLD = ("runtime.", "data.variant", "data.source", "model.kind")


def parse_config(params: Mapping[str, str]) -> Config:
    """A trial's settings from the params of its run, which are text.

    Raises:
        UserError: They are of another version of weakdis.
    """
    settings: dict[str, object] = {}
    for name, text in params.items():
        group, _, rest = name.rpartition(".")
        value = None if text == "None" else yaml.safe_load(text)
        inside = settings.setdefault(group, {}) if group else settings
        assert isinstance(inside, dict)
        inside[rest] = value
    return validated(settings)


def build_command(config: Config) -> str:
    """The command that trains a configuration again, on one machine and without Ray."""
    kind = config.model.kind
    start = preset("default", config.data.variant, kind).flat()
    flags = [f"--variant {config.data.variant}"]
    flags += [f"--model {kind}"] if kind != "modular" else []
    flags += [f"--data.source {config.data.source}"]
    for name, value in config.flat().items():
        if not name.startswith(_UNTOLD) and start.get(name) != value:
            flags.append(f"--{name.replace('_', '-')} {value}")
    return " ".join(["python -m weakdis_core train", *flags])


def describe_sweep(sweep: TrackedSweep) -> dict[str, str]:
    """What made a sweep: versions, commit, data, machines and the time it took."""
    tags, params = sweep.run.data.tags, sweep.run.data.params
    trials = pd.concat([sweep.trials, sweep.confirmed])
    cores = float(params.get("cpus_per_trial", "nan"))
    gpus = float(params.get("gpus_per_trial", "nan"))
    began = pd.Timestamp(sweep.run.info.start_time, unit="ms", tz="UTC")
    last = pd.concat([trials["finished"], trials["started"]]).max()
    took = format_duration((last - began).total_seconds()) if len(trials) else "nothing so far"
    hours = trials["seconds"].sum() / 3600
    inputs = sweep.run.inputs.dataset_inputs if sweep.run.inputs else []
    # What identifies the images.
    digest = inputs[0].dataset.digest if inputs else "unknown"
    best = sweep.best
    return {
        "sweep": f"{sweep.name}, MLflow run {sweep.run.info.run_id}, "
        f"{sweep.run.info.status.lower()}",
        "time": f"began {began:%Y-%m-%d %H:%M} UTC and took {took}",
        "code": f"weakdis {tags.get(f'{_VERSION}weakdis', '?')}, commit {tags['git_commit']}",
        "data": f"{sweep.source} images of {sweep.variant}, at most {params['data.max_images']}, "
        f"split by seed {params['data.data_seed']}, digest {digest}",
        "best": "none yet"
        if best is None
        else f"trial {best['trial_id']}, config {best['config_hash']}, seed {best['seed']}, "
        f"MLflow run {best['run_id']}",
        "search": f"{params['sampler']} sampler, objective {params['objective']}, "
        f"preset {params['preset']}, seed {tags['seed']}, up to {params['trials']} trials or "
        f"{float(params['time_budget']):g} s",
        "training": f"{len(sweep.trials)} trials and {len(sweep.confirmed)} confirm runs, "
        f"{hours * cores:.2f} core-hours" + (f", {hours * gpus:.2f} GPU-hours" if gpus else ""),
        "devices": ", ".join(sorted(trials["device"].dropna().unique())) or "unknown",
        "machines": ", ".join(sorted(set(" ".join(trials["host"].dropna()).split()))) or "unknown",
        "libraries": ", ".join(
            f"{name.removeprefix(_VERSION)} {version}"
            for name, version in sorted(tags.items())
            if name.startswith(_VERSION) and name != f"{_VERSION}weakdis"
        ),
    }


def describe_training(declared: DeclaredRows, rows: Sequence[Row]) -> str:
    """Describe which code, libraries and machines trained some declared rows, and the cost."""
    runs = declared.runs(rows)
    shown = _trained_by(declared, runs) if len(runs) else "No run of the present versions yet."
    if not declared.left_out:
        return shown
    others = "runs of another version of the core or of scikit-learn"
    return f"{shown} {declared.left_out} {others} are left out."


def _trained_by(declared: DeclaredRows, runs: pd.DataFrame) -> str:
    timed = runs[is_on_cpu(runs)]
    hours = (timed["cpu_seconds"] + timed["scoring_seconds"]).sum() / 3600
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
    shown = (
        f"{len(runs)} runs, {hours:.1f} core-hours, {runs['finished'].min():%Y-%m-%d} to "
        f"{runs['finished'].max():%Y-%m-%d}; core version {declared.versions.code}, scikit-learn "
        f"{declared.versions.scikit_learn}; {made}."
    )
    # The seconds of a GPU's host are no core-hours.
    if elsewhere := "; ".join(runs[~is_on_cpu(runs)]["row"].unique()):
        shown += (
            f" {len(runs) - len(timed)} of them were trained on a GPU, in float32 like the others, "
            f"and are not in the core-hours: {elsewhere}."
        )
    return shown
