"""What a sweep will cost, before it is paid: trials, steps, time and disk."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from pathlib import Path

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
from torch import nn

from sweeps.cluster import Allotment, allot
from sweeps.console import clock
from sweeps.halving import REDUCTION_FACTOR
from sweeps.ledger import CHECKPOINTS_KEPT
from sweeps.left import Left, left_of
from sweeps.settings import SweepSettings
from sweeps.space import Space, build_space, first_rung
from weakdis_core.config import Config
from weakdis_core.data.plan import plan
from weakdis_core.data.store import Prepared
from weakdis_core.data.variants import get_variant
from weakdis_core.disentanglement import disentanglement_scores
from weakdis_core.metrics import RAW_ROWS, TRAIN_ROWS
from weakdis_core.metrics.oracle import Oracle
from weakdis_core.trainer import Trainer

_PROBE_STEPS = 24
_PROBE_IMAGES = 2000
_PROBE_TEST_IMAGES = 400
# The Optuna study and Tune's state, for each trial.
_STATE_BYTES = 100_000


@dataclass(frozen=True)
class Probe:
    """What a few steps on made-up images told.

    Attributes:
        step: Seconds of a training step, averaged over the stages.
        evaluation: Seconds of an evaluation.
        checkpoint: Bytes of a checkpoint.
    """

    step: float
    evaluation: float
    checkpoint: int

    def trial(self, config: Config) -> float:
        """Seconds of a full trial."""
        training = config.training
        return training.steps * self.step + training.evaluations * self.evaluation


def print_plan(settings: SweepSettings, console: Console) -> None:
    """Print the plan of the sweeps that the settings ask for; nothing is started.

    Raises:
        UserError: A setting is at fault.
    """
    cpus, gpus = len(os.sched_getaffinity(0)), torch.cuda.device_count()
    # A cluster's machines are not known before it is joined: as if it were this one.
    allotment = allot(settings, {"CPU": float(cpus), "GPU": float(gpus)})
    where = f"{cpus} CPUs, {gpus} GPUs" + (" of this machine" if settings.address else "")
    for variant, name in settings.sweep_names().items():
        base = settings.base_config(variant)
        space = build_space(base, settings.fixed, settings.search_learning_rate)
        what = "what is left" if settings.resume else "plan"
        table = Table(
            title=f"{what} of {name if settings.name else variant}",
            box=None,
            show_header=False,
            title_justify="left",
        )
        for row in _rows(settings, left_of(settings, name), base, space, allotment, where):
            table.add_row(*row)
        console.print(table)


def probe(config: Config) -> Probe:
    """Time a few steps of a configuration on made-up images, and weigh its checkpoint."""
    trainer = _made_up_trainer(config, _PROBE_IMAGES)
    reports = list(trainer.fit())
    evaluation = _seconds(lambda: trainer.evaluate("validation"))
    # The first third pays for what happens once; the other two hold an evaluation each.
    first, last = reports[0], reports[-1]
    step = (last.seconds - first.seconds - 2 * evaluation) / (last.step - first.step)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "checkpoint"
        trainer.save(file)
        size = file.stat().st_size
    images = min(config.training.evaluation_samples, _images(config) // 10)
    scale = images / len(trainer.splits.validation)
    return Probe(max(step, 1e-4), evaluation * scale, size)


def probe_test(config: Config) -> float:
    """Seconds that a confirm run's evaluation on test takes, by one on few made-up images."""
    trainer = _made_up_trainer(config, _PROBE_TEST_IMAGES)
    for _ in trainer.fit():
        pass
    images, rows = _images(config), min(TRAIN_ROWS, int(0.8 * _images(config)))
    accuracies = _seconds(lambda: trainer.evaluate("test"))
    converted = _seconds(lambda: disentanglement_scores(trainer, raw=False))
    both = _seconds(lambda: disentanglement_scores(trainer, raw=True))
    probed = 0.8 * _PROBE_TEST_IMAGES - trainer.config.data.labels
    return (
        accuracies * images / _PROBE_TEST_IMAGES
        + converted * rows / probed
        + max(0.0, both - converted) * min(RAW_ROWS, rows) / probed
    )


def _rows(
    settings: SweepSettings,
    left: Left,
    base: Config,
    space: Space,
    allotment: Allotment,
    where: str,
) -> list[tuple[str, str]]:
    measured = probe(base)
    steps, rung = base.training.steps, first_rung(space, base)
    full = measured.trial(base)
    rounds = ceil(left.trials / allotment.concurrent)
    # Of the trials that reach the rung ASHA lets one in REDUCTION_FACTOR go on.
    stopped = rung / steps * (1 - 1 / REDUCTION_FACTOR) + 1 / REDUCTION_FACTOR
    longest, shortest = rounds * full, rounds * full * stopped
    images = plan(base.data, base.runtime.data_dir)
    state = (left.trials + left.runs) * (CHECKPOINTS_KEPT * measured.checkpoint + _STATE_BYTES)
    more = f" more of {settings.trials}" if settings.resume else ""
    searched = [f"{name} {_range(values)}" for name, values in space.items()]
    return [
        ("searched", "\n".join(searched)),
        ("objective", f"{settings.objective}, {settings.sampler}, seed {settings.seed}"),
        (
            "trials",
            f"at most {left.trials}{more}, {allotment.concurrent} at once, each {allotment.cpus:g} "
            f"CPU and {allotment.gpus:g} GPU ({where})",
        ),
        ("steps", f"{steps} a full trial; early stopping from step {rung}"),
        (
            "time",
            f"{clock(full)} a full trial, by {_PROBE_STEPS} steps on this machine; "
            f"{clock(shortest)} to {clock(longest)} for all trials, as early stopping has it; "
            f"the search ends after {clock(left.seconds)} in any case",
        ),
        *_confirmation(settings, left.runs, base, allotment, full),
        (
            "disk",
            f"{_size(state)} for the runs ({_size(measured.checkpoint)} a checkpoint, "
            f"{CHECKPOINTS_KEPT} kept of each), and {_size(images.n_bytes)} for the images"
            + (" (there already)" if images.path.exists() else ""),
        ),
    ]


def _confirmation(
    settings: SweepSettings, runs: int, base: Config, allotment: Allotment, full: float
) -> list[tuple[str, str]]:
    """What confirming adds, if it is asked for: nothing of it is in the time budget."""
    seeds, top = settings.confirm_seeds, settings.confirm_top
    if not runs:
        return []
    test = probe_test(base)
    rounds = ceil(runs / allotment.concurrent)
    return [
        (
            "confirmation",
            f"after the search {seeds} fresh seeds of the best {top}: {runs} runs"
            f"{' left' if settings.resume else ''}, each "
            f"{clock(full)} of training and {clock(test)} of evaluation on test; "
            f"{clock(rounds * (full + test))} for all, beyond the time budget",
        )
    ]


def _seconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def _made_up_trainer(config: Config, images: int) -> Trainer:
    """A Trainer of a few steps on made-up images."""
    prepared = _made_up(config, images)
    changes = {
        "training.steps": _PROBE_STEPS,
        "training.evaluations": 3,
        "data.labels": min(config.data.labels, images // 4),
    }
    return Trainer(config.with_values(changes), prepared, _guesser(prepared))


def _made_up(config: Config, images: int) -> Prepared:
    """Noise with real factor values: enough to time and to weigh."""
    variant = get_variant(config.data.variant)
    generator = np.random.default_rng(0)
    every = variant.indices()
    indices = every[generator.choice(len(every), images, replace=False)]
    scale = 1 if variant.channels == 1 else 255
    shape = (images, variant.channels, 64, 64)
    return Prepared(
        variant=variant,
        source="rendered",
        path=Path(),
        images=generator.integers(0, scale, shape, dtype=np.uint8, endpoint=True),
        factors=variant.values(indices),
        indices=indices,
        digests=np.arange(images, dtype=np.uint64),
        scale=float(scale),
        digest="",
    )


def _guesser(prepared: Prepared) -> Oracle:
    values = prepared.variant.n_values
    pixels = int(np.prod(prepared.images.shape[1:]))
    network = nn.Sequential(nn.Flatten(), nn.Linear(pixels, sum(values)))
    return Oracle(network, values, 0.0, 0.0)


def _images(config: Config) -> int:
    return plan(config.data, config.runtime.data_dir).n_images


def _range(values: BaseDistribution) -> str:
    if isinstance(values, CategoricalDistribution):
        return "{" + ", ".join(str(choice) for choice in values.choices) + "}"
    if isinstance(values, FloatDistribution | IntDistribution):
        return f"{values.low:g} to {values.high:g}" + (", log" if values.log else "")
    return str(values)


def _size(n_bytes: float) -> str:
    return f"{n_bytes / 2**20:.1f} MiB" if n_bytes < 2**30 else f"{n_bytes / 2**30:.1f} GiB"
