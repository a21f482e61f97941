"""The flag `--plan` of a search: its phases, their time, and the disk."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from tempfile import TemporaryDirectory
from timeit import timeit

import joblib
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
from weakdis_core.data.plan import Plan
from weakdis_core.data.prepared import Prepared
from weakdis_core.data.source import plan
from weakdis_core.data.variants import variant_of
from weakdis_core.evaluation.oracle import Oracle, build_network
from weakdis_core.evaluation.oracle_cache import oracle_path
from weakdis_core.training.trainer import Trainer

_PROBE_STEPS = 24
_PROBE_IMAGES = 500
# Core-seconds on an AMD EPYC: to draw the images, to train the oracle, and to score a confirm run.
_CORE_SECONDS = {
    "dsprites": (2.0, 10.0, 40.0),
    "shapes3d": (12.0, 55.0, 150.0),
    "own": (10.0, 200.0, 30.0),
}
_BEST_SECONDS = 10.0
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


def print_plan(settings: SweepSettings, console: Console) -> None:
    """Print the plan of each sweep that the settings ask for, without starting anything.

    Raises:
        UserError: A setting is not allowed.
    """
    cpus, gpus = joblib.cpu_count(), torch.cuda.device_count()
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


def probe(config: Config) -> tuple[float, int]:
    """Return the seconds of a full trial, from steps on noise, and the bytes of a checkpoint."""
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
    # Validation has a tenth of the images.
    images = min(
        training.evaluation_samples, plan(config.data, config.runtime.data_dir).n_images // 10
    )
    evaluations = training.evaluations * images / len(trainer.splits.validation)
    with TemporaryDirectory() as folder:
        checkpoint = Path(folder, "checkpoint")
        trainer.save(checkpoint)
        return training.steps * step + evaluations * evaluation, checkpoint.stat().st_size


def _noise(config: Config) -> Prepared:
    """Make noise images with random factor values."""
    variant = variant_of(config.data)
    generator = np.random.default_rng(0)
    values = generator.integers(0, variant.n_values, (_PROBE_IMAGES, len(variant.factors)))
    scale = 1 if variant.channels == 1 else 255
    shape = (_PROBE_IMAGES, variant.channels, variant.size, variant.size)
    images = generator.integers(0, scale, shape, dtype=np.uint8, endpoint=True)
    digests = np.arange(_PROBE_IMAGES, dtype=np.uint64)
    return Prepared(
        variant, "rendered", Path(), images, values, values, digests, float(scale), digest=""
    )


def _rows(
    settings: SweepSettings, variant: str, left: WorkLeft, allotment: Allotment, where: str
) -> Iterator[tuple[str, str]]:
    """Yield the rows of a plan: a word and its text."""
    base = settings.base_config(variant)
    space = build_space(base, settings.fixed, settings.search_learning_rate)
    images = plan(base.data, base.runtime.data_dir)
    full, checkpoint = probe(base)
    steps, rung = base.training.steps, first_rung(space, base)
    more = f" more of {settings.trials}" if settings.resume else ""
    yield "searched", "\n".join(f"{name} {_range(values)}" for name, values in space.items())
    yield "objective", f"{settings.objective}, {settings.sampler}, seed {settings.seed}"
    yield (
        "trials",
        f"at most {left.trials}{more}, {allotment.concurrent} at once, each {allotment.cpus:g} "
        f"CPU and {allotment.gpus:g} GPU ({where})",
    )
    yield "steps", f"{steps} a full trial; early stopping from step {rung}"
    yield "a trial", f"{_span(full, full)} to its last step, from {_PROBE_STEPS} steps here"
    # ASHA lets one of REDUCTION_FACTOR trials that reach the rung continue.
    stopped = rung / steps * (1 - 1 / REDUCTION_FACTOR) + 1 / REDUCTION_FACTOR
    yield from _phases(settings, left, images, allotment.concurrent, full, stopped)
    state = (left.trials + left.runs) * (CHECKPOINTS_KEPT * checkpoint + _STATE_BYTES)
    yield (
        "disk",
        f"{_size(state)} for the runs ({_size(checkpoint)} a checkpoint, {CHECKPOINTS_KEPT} kept "
        f"of each), and {_size(images.n_bytes)} for the images",
    )


def _phases(
    settings: SweepSettings, left: WorkLeft, images: Plan, at_once: int, full: float, stopped: float
) -> Iterator[tuple[str, str]]:
    """Yield a row for each phase of a sweep in order, with its time, and one for all of them."""
    rendering, judging, scoring = _CORE_SECONDS[images.variant.family]
    rendering *= not images.path.exists()
    judging *= not oracle_path(images, images.data_seed).exists()
    yield "images", f"{images.n_images:,}: {_once(rendering)}"
    yield "oracle", f"the classifier that judges pictures: {_once(judging)}"
    longest = ceil(left.trials / at_once) * full
    low, high = (min(seconds, left.seconds) for seconds in (longest * stopped, longest))
    yield (
        "search",
        f"{_span(low, high)}; early stopping shortens it, and it ends after "
        f"{format_duration(left.seconds)} in any case",
    )
    yield "best on test", _span(_BEST_SECONDS, _BEST_SECONDS)
    confirming = ceil(left.runs / at_once) * (full + scoring)
    if left.runs:
        yield (
            "confirmation",
            f"{_span(confirming, confirming)}, beyond the time budget: "
            f"{settings.confirm_seeds} fresh seeds of the best {settings.confirm_top}, {left.runs} "
            f"runs{' left' if settings.resume else ''}, each {format_duration(full)} of training "
            f"and {format_duration(scoring)} of evaluation on test",
        )
    others = rendering + judging + _BEST_SECONDS + confirming
    yield "in all", _span(low + others, high + others)


def _once(seconds: float) -> str:
    return f"{_span(seconds, seconds)}, once" if seconds else "there already"


def _span(low: float, high: float) -> str:
    longest = "" if low == high else f" to {format_duration(high)}"
    return f"about {format_duration(low)}{longest}"


def _range(values: BaseDistribution) -> str:
    if isinstance(values, FloatDistribution | IntDistribution):
        return f"{values.low:g} to {values.high:g}" + (", log" if values.log else "")
    assert isinstance(values, CategoricalDistribution)
    return "{" + ", ".join(str(choice) for choice in values.choices) + "}"


def _size(n_bytes: float) -> str:
    return f"{n_bytes / 2**20:.1f} MiB" if n_bytes < 2**30 else f"{n_bytes / 2**30:.1f} GiB"
