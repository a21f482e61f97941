"""Descriptions of a sweep and its trials in Markdown, which MLflow shows as notes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from optuna.distributions import distribution_to_json

from sweeps.names import KINDS, METRICS
from sweeps.state.ledger import Ledger
from sweeps.state.stage import Sweep
from sweeps.text import format_duration, format_settings
from sweeps.tracking.run_info import SweepRun, common_tags, training_images
from sweeps.trial import Stage, TrialRecord
from weakdis_core.data.prepared import open_prepared

_ASKED = {
    "trials", "time_budget", "confirm_seeds", "confirm_top", "objective", "sampler", "preset",
}  # fmt: skip
_SHOWN = ("data.labels", "model.latent_size", "loss.lambda", "training.warmup", "seed")


def sweep_run(sweep: Sweep) -> SweepRun:
    """Describe a sweep for MLflow; its params are what was asked for, searched and fixed."""
    settings = sweep.settings
    tags = common_tags(sweep.base, sweep.base.data.source)
    images = training_images(open_prepared(sweep.prepared), sweep.base)
    params: dict[str, Any] = {
        "cpus_per_trial": sweep.allotment.cpus,
        "gpus_per_trial": sweep.allotment.gpus,
        "max_concurrent": sweep.allotment.concurrent,
    }
    if settings.study is not None:
        params |= {"study": settings.study, "seeds": settings.seeds}
        tags |= {"study": settings.study}
        return SweepRun(sweep.name, sweep.base, tags, params, images, _describe_study(sweep))
    params |= settings.model_dump(include=_ASKED)
    # `optuna.distributions.json_to_distribution` restores them.
    params |= {f"space.{name}": distribution_to_json(v) for name, v in sweep.space.items()}
    params |= {k: v for k, v in sweep.base.flat().items() if k not in sweep.space}
    return SweepRun(sweep.name, sweep.base, tags, params, images, _describe_sweep(sweep))


def _describe_sweep(sweep: Sweep) -> str:
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


def _describe_study(sweep: Sweep) -> str:
    data = sweep.base.data
    return (
        f"Runs of the study `{sweep.settings.study}` on {data.variant} ({data.source} images). The "
        "tag `row` of each is its row in the tables.\n\n"
        f"Go on: `{sweep.resume_command}`."
    )


def best_so_far(ledger: Ledger) -> str:
    """Describe the best complete trial and count the outcomes; empty if no trial has ended."""
    ends = Counter(record.outcome.replace("_", " ") for record in ledger.ended())
    best = ledger.best()
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
