"""`make bench`: measure the speed of each part on this machine, and compare it with the targets."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from statistics import median, quantiles

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch.utils.flop_counter import FlopCounterMode

from weakdis_core.config.config import Config
from weakdis_core.config.settings import DataSettings
from weakdis_core.data.prepared import Prepared, prepare
from weakdis_core.data.renderers import dsprites, shapes3d
from weakdis_core.data.splits import split
from weakdis_core.data.variant import IndexArray
from weakdis_core.data.variants import get_variant
from weakdis_core.devices import processor
from weakdis_core.evaluation.oracle import Oracle, train_oracle
from weakdis_core.presets import preset
from weakdis_core.priors.prior import Prior
from weakdis_core.seeding import torch_generator
from weakdis_core.training.trainer import Trainer

VARIANT = "dsprites_v4"


@dataclass(frozen=True)
class Measurement:
    """A row of the printed table: formatted value and target, and whether the target is met."""

    name: str
    value: str
    target: str = ""
    met: bool | None = None


def time_call(function: Callable[[], object], runs: int = 7, warm: int = 2) -> float:
    """Return the median seconds of `runs` calls, after `warm` calls."""
    for _ in range(warm):
        function()
    times = []
    for _ in range(runs):
        started = time.perf_counter()
        function()
        times.append(time.perf_counter() - started)
    return median(times)


def measure_sgemm(size: int, at_least: float) -> float:
    """Measure the GFLOP/s of float32 products of square matrices, for `at_least` seconds."""
    a, b = torch.randn(size, size), torch.randn(size, size)
    started, products = time.perf_counter(), 0
    while products == 0 or time.perf_counter() - started < at_least:
        a @ b
        products += 1
    return 2 * size**3 * products / (time.perf_counter() - started) / 1e9


def build_paper_config(batch: int) -> Config:
    """Build a configuration of the paper's sizes; half of the batch is labelled."""
    return preset("paper", VARIANT).with_values(
        {"training.batch_size": batch // 2, "training.labelled_batch_size": batch // 2}
    )


def measure_steps(
    name: str, config: Config, prepared: Prepared, oracle: Oracle, size: int, target: float | None
) -> list[Measurement]:
    """Measure the step time of the M-AE in each stage, and its share of the sgemm peak.

    Matrix products run for as long as a step next to each step, so that on a shared machine both
    get the same part of the core.

    The matrices have `size` rows, the fastest size. `target` is the share to reach, if any.
    """
    rows, training = [], config.training
    batch = training.batch_size + training.labelled_batch_size
    for stage, step in (("warmup", 0), ("full", training.steps // 2)):
        trainer = Trainer(config, prepared, oracle)
        if stage == "full":
            trainer.enter_full_training()
        mae_step = partial(_mae_step, trainer, trainer.prior, step)
        with FlopCounterMode(display=False) as counter:
            mae_step()
        gigaflops = counter.get_total_flops() / 1e9
        times, shares = [time_call(mae_step, runs=1)], []
        for _ in range(5 if batch > 500 else 15):
            peak = measure_sgemm(size, times[-1])
            times.append(time_call(mae_step, runs=1, warm=0))
            shares.append(gigaflops / times[-1] / peak)
        spent = median(times)
        low, share, high = quantiles(shares, n=4, method="inclusive")
        measured = (
            f"{1e3 * spent:.1f} ms, {batch / spent:,.0f} images/s, {gigaflops / spent:.0f} GFLOP/s "
            f"= {share:.0%} of peak (quartiles {low:.0%} to {high:.0%})"
        )
        row = Measurement(f"M-AE step, {name}, batch {batch}, {stage}", measured)
        rows.append(replace(row, target=f">= {target:.0%}", met=share >= target) if target else row)
    return rows


def _mae_step(trainer: Trainer, prior: Prior, step: int) -> None:
    trainer.objectives.autoencoder_step(trainer.next_batch(), prior, trainer.stage(step), step)


def measure_prior(prepared: Prepared, oracle: Oracle) -> list[Measurement]:
    """Measure how long a relation batch of 128 and 1024 prior samples take."""
    trainer = Trainer(preset("default", VARIANT), prepared, oracle)
    trainer.enter_full_training()
    prior, objectives = trainer.prior, trainer.objectives
    generator = torch_generator(0, "bench")
    batch = time_call(lambda: objectives.relation_batch(prior, 128, generator), 50)
    components = prior.sample_components(1024, generator)
    draw = time_call(lambda: prior.sample(components, generator), 50)
    return [
        Measurement("relation batch of 128", f"{1e3 * batch:.2f} ms", "< 1 ms", batch < 1e-3),
        Measurement("1024 prior samples", f"{1e3 * draw:.2f} ms", "< 1 ms", draw < 1e-3),
    ]


def measure_opening(prepared: Prepared) -> list[Measurement]:
    """Measure how long a prepared variant takes to open, and the private memory that it takes."""
    code = (
        "import time, sys, psutil; from pathlib import Path\n"
        "from weakdis_core.data.prepared import open_prepared\n"
        "process = psutil.Process(); before = process.memory_full_info().uss\n"
        "started = time.perf_counter(); prepared = open_prepared(Path(sys.argv[1]))\n"
        "spent = time.perf_counter() - started\n"
        "print(spent, (process.memory_full_info().uss - before) / 2**20)"
    )
    output = subprocess.run(
        [sys.executable, "-c", code, str(prepared.path)], check=True, capture_output=True, text=True
    )
    spent, memory = map(float, output.stdout.split())
    return [
        Measurement("open a prepared variant", f"{1e3 * spent:.1f} ms", "< 100 ms", spent < 0.1),
        Measurement(
            "its private memory", f"{memory:.1f} MiB of {prepared.images.nbytes / 2**20:.0f} MiB"
        ),
    ]


def measure_rendering() -> list[Measurement]:
    """Measure how long an image takes to render."""
    rows = []
    for name, render in (("dsprites_v4", dsprites.render), ("shapes3d_v5", shapes3d.render)):
        every: IndexArray = get_variant(name).indices()
        chosen = every[np.sort(np.random.default_rng(0).choice(len(every), 3000, replace=False))]
        render(chosen)  # the first call draws the geometries of Shapes3D
        spent = time_call(partial(render, chosen), 3, 0) / 3000
        rows.append(Measurement(f"render an image of {name}", f"{1e6 * spent:.0f} us"))
    return rows


def open_variant(variant: str, max_images: int = 50_000) -> tuple[Prepared, Oracle]:
    """Prepare a variant, and an oracle that is barely trained, which does not change its speed."""
    prepared = prepare(DataSettings(variant=variant, max_images=max_images, source="rendered"))
    return prepared, train_oracle(prepared, split(prepared.digests, 0), steps=2)


def describe_machine() -> str:
    """Describe the processor, its cores, and the version of torch."""
    return f"{processor()}, {os.cpu_count()} cores, torch {torch.__version__}, one thread"


def main() -> None:
    """Measure everything and print one table. Takes no flags."""
    if flags := sys.argv[1:]:
        print(__doc__)
        sys.exit(0 if set(flags) <= {"-h", "--help"} else 2)
    torch.set_num_threads(1)
    console = Console(width=120 if not sys.stdout.isatty() else None)
    with tempfile.TemporaryDirectory() as folder:
        os.environ.setdefault("WEAKDIS_CACHE", folder)
        prepared, oracle = open_variant(VARIANT)
        peak, size = max((measure_sgemm(size, 0.5), size) for size in (512, 1024, 1536))
        rows = [Measurement("sgemm peak of one core", f"{peak:.0f} GFLOP/s")]
        rows += measure_steps("paper's sizes", build_paper_config(128), prepared, oracle, size, 0.6)
        rows += measure_steps(
            "paper's sizes", build_paper_config(1024), prepared, oracle, size, None
        )
        default = preset("default", VARIANT)
        rows += measure_steps(f"default {VARIANT}", default, prepared, oracle, size, None)
        rows += measure_prior(prepared, oracle) + measure_opening(prepared)
        default = preset("default", "shapes3d_v3")
        prepared, oracle = open_variant("shapes3d_v3", max_images=2000)
        rows += measure_steps("default shapes3d_v3", default, prepared, oracle, size, None)
        rows += measure_rendering()
        # Imports Ray, which the other measurements do not need.
        from benchmarks.overhead import measure

        spent = measure(20)["seconds"]
        rows.append(
            Measurement("trial beyond its training (20)", f"{spent:.2f} s", "< 0.7 s", spent < 0.7)
        )
    table = Table("what", "measured", "target", "", title=describe_machine())
    verdicts = {True: "met", False: "MISSED", None: ""}
    for row in rows:
        table.add_row(row.name, row.value, row.target, verdicts[row.met])
    console.print(table)


if __name__ == "__main__":
    main()
