"""The flag `--plan` of a search: its trials, steps, time and disk."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from timeit import timeit

import numpy as np
import torch
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from rich.console import Console
from rich.table import Table

from sweeps.cluster.allotment import Allotment
from sweeps.search.scheduler import REDUCTION_FACTOR
from sweeps.search.space import build_space, first_rung
from sweeps.state.catalog import find_sweep
from sweeps.state.trial_store import count_remaining
from sweeps.state.trials import CHECKPOINTS_KEPT
from sweeps.sweep_settings import SweepSettings
from sweeps.text import format_duration
from weakdis_core.config.config import Config
from weakdis_core.data.prepared import Prepared
from weakdis_core.data.source import plan
from weakdis_core.data.variants import get_variant
from weakdis_core.evaluation.oracle import Oracle, build_network
from weakdis_core.files import temporary_folder
from weakdis_core.metrics.ceilings import RAW_ROWS
from weakdis_core.scores.disentanglement import disentanglement_scores
from weakdis_core.training.trainer import Trainer

_PROBE_STEPS = 24
_PROBE_IMAGES = 500
# The Optuna study and Tune's state, for each trial.
_STATE_BYTES = 100_000


@dataclass(frozen=True)
class WorkLeft:
    """The work left of a sweep; all of it for a new one.

    Attributes:
        trials: Trials that have not ended.
        seconds: Seconds of the time budget.
        runs: Confirm runs that have not ended.
    """

    trials: int
    seconds: float
    runs: int


@dataclass(frozen=True)
class Probe:
    """The cost of a trial, measured by a few steps on noise.

    Attributes:
        trial: Seconds of a full trial.
        test: Seconds of a confirm run's evaluation on test; 0 if it was not timed.
        checkpoint: Bytes of a checkpoint.
    """

    trial: float
    test: float
    checkpoint: int


def print_plan(settings: SweepSettings, console: Console) -> None:
    """Print the plan of each sweep that the settings ask for, without starting anything.

    Raises:
        UserError: A setting is not allowed.
    """
    cpus, gpus = len(os.sched_getaffinity(0)), torch.cuda.device_count()
    # The machines of a cluster are unknown before it is joined: plan as if it were this one.
    allotment = settings.allot({"CPU": float(cpus), "GPU": float(gpus)})
    where = f"{cpus} CPUs, {gpus} GPUs" + (" of this machine" if settings.address else "")
    what = "what is left" if settings.resume else "plan"
    for variant, name in settings.sweep_names().items():
        title = f"{what} of {name if settings.name else variant}"
        table = Table(title=title, box=None, show_header=False, title_justify="left")
        for row in _rows(settings, variant, find_work_left(settings, name), allotment, where):
            table.add_row(*row)
        console.print(table)


def find_work_left(settings: SweepSettings, name: str) -> WorkLeft:
    """Return the work left of the sweep called `name`, from its studies if it is resumed."""
    runs = settings.confirm_seeds * settings.confirm_top
    if not settings.resume:
        return WorkLeft(settings.trials, settings.time_budget, runs)
    stored = find_sweep(settings, name)
    trials = count_remaining(stored.study, settings.trials)
    seconds = max(0.0, settings.time_budget - stored.records.seconds)
    # More trials may find better configurations, which have no runs yet.
    if stored.confirm is not None and not trials:
        runs = count_remaining(stored.confirm, runs)
    return WorkLeft(trials, seconds, runs)


def probe(config: Config, test: bool = False) -> Probe:
    """Time a few training steps on noise, and measure the size of a checkpoint.

    Args:
        config: The settings of a trial.
        test: Whether to time the evaluation of a confirm run too, which takes longer.
    """
    training = config.training
    labels = min(config.data.labels, _PROBE_IMAGES // 4)
    changes = {
        "training.steps": _PROBE_STEPS, "training.evaluations": 3, "data.labels": labels,
    }  # fmt: skip
    prepared = _noise(config)
    oracle = Oracle(build_network(prepared.variant), prepared.variant.n_values, 0.0, 0.0)
    trainer = Trainer(config.with_values(changes), prepared, oracle)
    # The first third includes what happens once; the other two hold an evaluation each.
    first, _, last = trainer.fit()
    evaluation = timeit(lambda: trainer.evaluate("validation"), number=1)
    step = max(1e-4, (last.seconds - first.seconds - 2 * evaluation) / (last.step - first.step))
    image = evaluation / len(trainer.splits.validation)
    # Validation and test have a tenth of the images each, train the rest.
    images = plan(config.data, config.runtime.data_dir).n_images
    evaluated = min(training.evaluation_samples, images // 10)
    test_seconds = 0.0
    if test:
        scoring = timeit(lambda: disentanglement_scores(trainer, raw=True), number=1)
        # Nearly all of it is spent on latent codes, in proportion to their rows.
        rows = min(RAW_ROWS, 0.8 * images) / (0.8 * _PROBE_IMAGES - labels)
        test_seconds = image * images / 10 + scoring * rows
    with temporary_folder("weakdis-checkpoint-") as folder:
        trainer.save(folder / "checkpoint")
        size = (folder / "checkpoint").stat().st_size
    trial = training.steps * step + training.evaluations * evaluated * image
    return Probe(trial, test_seconds, size)


def _noise(config: Config) -> Prepared:
    """Make noise images with real factor values."""
    variant = get_variant(config.data.variant)
    generator = np.random.default_rng(0)
    indices = generator.choice(variant.indices(), _PROBE_IMAGES, replace=False)
    scale = 1 if variant.channels == 1 else 255
    shape = (_PROBE_IMAGES, variant.channels, 64, 64)
    images = generator.integers(0, scale, shape, dtype=np.uint8, endpoint=True)
    digests = np.arange(_PROBE_IMAGES, dtype=np.uint64)
    values = variant.values(indices)
    return Prepared(
        variant, "rendered", Path(), images, values, indices, digests, float(scale), digest=""
    )


def _rows(
    settings: SweepSettings, variant: str, left: WorkLeft, allotment: Allotment, where: str
) -> Iterator[tuple[str, str]]:
    """Yield the rows of a plan: a word and its text."""
    base = settings.base_config(variant)
    space = build_space(base, settings.fixed, settings.search_learning_rate)
    measured = probe(base, test=left.runs > 0)
    steps, rung, full = base.training.steps, first_rung(space, base), measured.trial
    rounds = ceil(left.trials / allotment.concurrent)
    # ASHA lets one of REDUCTION_FACTOR trials that reach the rung continue.
    stopped = rung / steps * (1 - 1 / REDUCTION_FACTOR) + 1 / REDUCTION_FACTOR
    longest, shortest = rounds * full, rounds * full * stopped
    more = f" more of {settings.trials}" if settings.resume else ""
    yield "searched", "\n".join(f"{name} {_range(values)}" for name, values in space.items())
    yield "objective", f"{settings.objective}, {settings.sampler}, seed {settings.seed}"
    yield (
        "trials",
        f"at most {left.trials}{more}, {allotment.concurrent} at once, each {allotment.cpus:g} "
        f"CPU and {allotment.gpus:g} GPU ({where})",
    )
    yield "steps", f"{steps} a full trial; early stopping from step {rung}"
    yield (
        "time",
        f"{format_duration(full)} a full trial, estimated from {_PROBE_STEPS} steps here; "
        f"{format_duration(shortest)} to {format_duration(longest)} for all trials, depending on "
        f"early stopping; the search ends after {format_duration(left.seconds)} in any case",
    )
    if left.runs:
        spent = ceil(left.runs / allotment.concurrent) * (full + measured.test)
        yield (
            "confirmation",
            f"after the search {settings.confirm_seeds} fresh seeds of the best "
            f"{settings.confirm_top}: {left.runs} runs{' left' if settings.resume else ''}, each "
            f"{format_duration(full)} of training and {format_duration(measured.test)} of "
            f"evaluation on test; {format_duration(spent)} for all, beyond the time budget",
        )
    images = plan(base.data, base.runtime.data_dir)
    state = (left.trials + left.runs) * (CHECKPOINTS_KEPT * measured.checkpoint + _STATE_BYTES)
    yield (
        "disk",
        f"{_size(state)} for the runs ({_size(measured.checkpoint)} a checkpoint, "
        f"{CHECKPOINTS_KEPT} kept of each), and {_size(images.n_bytes)} for the images"
        + (" (there already)" if images.path.exists() else ""),
    )


def _range(values: BaseDistribution) -> str:
    if isinstance(values, FloatDistribution | IntDistribution):
        return f"{values.low:g} to {values.high:g}" + (", log" if values.log else "")
    assert isinstance(values, CategoricalDistribution)
    return "{" + ", ".join(str(choice) for choice in values.choices) + "}"


def _size(n_bytes: float) -> str:
    return f"{n_bytes / 2**20:.1f} MiB" if n_bytes < 2**30 else f"{n_bytes / 2**30:.1f} GiB"
