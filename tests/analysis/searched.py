"""Sweeps with made-up numbers, stored in MLflow as `sweeps/run.py` does."""

from __future__ import annotations

import math
from typing import Any

from mlflow.entities import Metric, Param, RunTag
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    distribution_to_json,
)

from tests.analysis.tracked import Store
from weakdis_core.config.config import Config
from weakdis_core.presets import preset

SPACE: dict[str, BaseDistribution] = {
    "model.latent_size": CategoricalDistribution((4, 8, 16)),
    "loss.lambda": FloatDistribution(0.3, 8.0, log=True),
    "training.warmup": FloatDistribution(0.02, 0.25),
    "data.labels": CategoricalDistribution((100, 300, 1000)),
}
EVALUATIONS = 4
SCORE = "val/relation_accuracy_pixels"
BEGAN = 1_764_000_000_000

_ASKED = {
    "trials": 12, "time_budget": 840.0, "objective": "pixels", "sampler": "tpe",
    "preset": "quick", "cpus_per_trial": 1.0, "gpus_per_trial": 0.0,
}  # fmt: skip


def config(number: int, variant: str = "dsprites_v2", seed: int = 0) -> Config:
    """Return the settings of a trial by its number, from 0."""
    values = {
        "model.latent_size": (4, 8, 16)[number % 3],
        "loss.lambda": round(0.3 * 1.3 ** (number % 12), 3),
        "training.warmup": round(0.03 + 0.01 * (number % 20), 3),
        "data.labels": (100, 300, 1000)[number // 4 % 3],
        "data.source": "rendered",
        "seed": seed,
    }
    return preset("quick", variant).with_values(values)


def score(number: int) -> float:
    """Return the final score of a trial, which depends mostly on labels."""
    return 0.3 + 0.3 * math.log10(config(number).data.labels / 100) + 0.01 * (number % 4)


def search(
    store: Store, name: str = "tried", variant: str = "dsprites_v2", trials: int = 12,
    confirm: tuple[float, ...] = (), status: str = "FINISHED", pruned: tuple[int, ...] = (1, 5),
    failed: tuple[int, ...] = (),
    at: int = BEGAN,
) -> str:  # fmt: skip
    """Put a sweep into a store.

    Args:
        store: The store.
        name: Name of the sweep.
        variant: Data set variant.
        trials: Number of search trials.
        confirm: Pixel accuracy on test of each confirm run of the best trial.
        status: Status of the sweep's run.
        pruned: Trials that were stopped early.
        failed: Trials that failed after their last report.
        at: Start of the sweep in milliseconds since 1970.

    Returns:
        The id of the sweep's run.
    """
    base = config(0, variant).flat()
    space = {f"space.{key}": distribution_to_json(values) for key, values in SPACE.items()}
    fixed = {key: value for key, value in base.items() if key not in SPACE}
    tags = {"kind": "sweep", "search.ended": str(trials), "confirm.ended": str(len(confirm))}
    parent = _run(store, variant, name, tags, {**_ASKED, **space, **fixed}, at)
    for number in range(trials):
        last = EVALUATIONS // 2 if number in pruned else EVALUATIONS
        reached = score(number) * last / EVALUATIONS
        tags = {"stage": "search", "trial_id": f"{number + 1:05d}"}
        tags["outcome"] = "pruned" if number in pruned else "complete"
        tags["outcome"] = "failed" if number in failed else tags["outcome"]
        _trial(store, variant, name, tags, config(number, variant), parent, reached, last)
    for position, pixels in enumerate(confirm):
        tags = {"stage": "confirm", "trial_id": f"confirm-{position + 1:05d}"}
        tags["outcome"] = "complete"
        test = {"test/relation_accuracy_pixels": pixels, "test/relation_accuracy_latent": pixels}
        own = config(trials - 1, variant, seed=100 + position)
        _trial(store, variant, name, tags, own, parent, score(trials - 1), EVALUATIONS, test)
    if status != "RUNNING":
        store.client.set_terminated(parent, status)
    return parent


def _trial(
    store: Store, variant: str, name: str, tags: dict[str, str], own: Config, parent: str,
    reached: float, last: int, test: dict[str, float] | None = None,
) -> None:  # fmt: skip
    tags = {**tags, "mlflow.parentRunId": parent, "config_hash": own.hash(), "seed": str(own.seed)}
    began = BEGAN + 60_000 * int(tags["trial_id"][-5:])
    run = _run(store, variant, name, tags, own.flat(), began)
    points = []
    for report in range(1, last + 1):
        step = own.training.steps * report // EVALUATIONS
        metrics = {
            SCORE: reached * report / last, "val/factor_accuracy": 0.9, "seconds": 10.0 * report,
            "train/reconstruction": 100.0 / report,
        }  # fmt: skip
        points += [Metric(key, value, began + report, step) for key, value in metrics.items()]
    points += [Metric(key, value, began + last, 0) for key, value in (test or {}).items()]
    store.client.log_batch(run, metrics=points)
    store.client.set_terminated(run, "FINISHED", end_time=began + 50_000)


def _run(
    store: Store, variant: str, name: str, tags: dict[str, str], params: dict[str, Any], at: int
) -> str:
    common = {
        "variant": variant, "data.source": "rendered", "sweep": name, "seed": "0",
        "git_commit": "0123abc", "version.weakdis": "0.1.0", "version.scikit-learn": "1.9.1",
        "device": "cpu x86_64", "host": "laptop",
    }  # fmt: skip
    run = store.client.create_run(store.experiment(variant), start_time=at).info.run_id
    store.client.log_batch(
        run,
        params=[Param(key, str(value)) for key, value in params.items()],
        tags=[RunTag(key, value) for key, value in {**common, **tags}.items()],
    )
    return str(run)
