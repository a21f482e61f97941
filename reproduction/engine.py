"""Trains cells on Ray, one core each, and stores each one as it finishes."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import ray
import torch
from ray.exceptions import RayError, RayTaskError
from rich.console import Console

from reproduction.cells import Cell
from reproduction.rows import Key, Results, Run, Scores
from reproduction.work import train_cell
from sweeps.budget import Interruption
from sweeps.cluster import Allotment, allot, cluster
from sweeps.provenance import git_commit
from weakdis_core.commands import prepare_all


@dataclass(frozen=True)
class Demand:
    """How to run cells.

    Attributes:
        max_concurrent: Most at once; None for as many as fit.
        address: Ray cluster; None for this machine.
        data_dir: Folder of the official files.
        cpus_per_trial: CPUs of a cell; None for one.
        gpus_per_trial: GPUs of a cell; None for a share of one where there are any.
    """

    max_concurrent: int | None = None
    address: str | None = None
    data_dir: Path | None = None
    cpus_per_trial: float | None = None
    gpus_per_trial: float | None = None


@dataclass(frozen=True)
class Failure:
    """A cell that has no result, and why."""

    cell: Cell
    reason: str

    def __str__(self) -> str:
        return f"{self.cell.name}, seed {self.cell.config.seed}: {self.reason}"


def at_once(demand: Demand) -> int:
    """Cells that run at once, as if the cluster were this machine: it is not joined yet."""
    gpus = torch.cuda.device_count()
    if demand.address is not None and demand.gpus_per_trial:
        # Whoever asks for a share of a cluster's GPUs is believed that it has one.
        gpus = max(gpus, 1)
    available = {"CPU": float(len(os.sched_getaffinity(0))), "GPU": float(gpus)}
    return allot(demand, available).concurrent


def train_cells(
    cells: Iterable[Cell], results: Results, demand: Demand, console: Console
) -> list[Failure]:
    """Train cells and store every one as soon as it is finished.

    A cell that fails is set aside; the others go on. A signal ends the training, and what was
    stored before stays.

    Args:
        cells: What to train.
        results: Where the rows go.
        demand: How to run them.
        console: Told of every finished cell.

    Returns:
        The cells that failed.

    Raises:
        UserError: Ray, the data or the results folder is at fault.
        SystemExit: A signal came: 128 and its number.
    """
    with cluster(demand.address) as available, Interruption() as interruption:
        allotment = allot(demand, available)
        wanted = [placed(cell, demand, allotment) for cell in cells]
        try:
            _prepare(wanted)
            return _train(wanted, results, allotment, interruption, console)
        except KeyboardInterrupt:
            console.print(f"interrupted; what is finished is in {results.folder}")
            sys.exit(interruption.exit_code)


def placed(cell: Cell, demand: Demand, allotment: Allotment) -> Cell:
    """The cell as it is carried out here, with what its key does not say.

    Args:
        cell: What to train.
        demand: How to run it.
        allotment: What it gets.
    """
    # Rows of any device share a table: none is computed with fewer digits than the others.
    runtime = {"runtime.precision": "float32"}
    if demand.data_dir is not None:
        runtime["runtime.data_dir"] = str(demand.data_dir.absolute())
    if not allotment.gpus:
        # Ray hides no GPU from a task that asks for none.
        runtime["runtime.device"] = "cpu"
    return replace(cell, config=cell.config.with_values(runtime))


def _prepare(cells: list[Cell]) -> None:
    """Make images and oracles before anything runs: tasks would wait for each other."""
    for cell in {cell.variant: cell for cell in cells}.values():
        prepare_all(cell.config)


def _train(
    cells: list[Cell],
    results: Results,
    allotment: Allotment,
    interruption: Interruption,
    console: Console,
) -> list[Failure]:
    # A cell that dies is reported, not tried again: it would die again.
    task = ray.remote(
        num_cpus=allotment.cpus, num_gpus=allotment.gpus, max_retries=0
    )(train_cell)  # fmt: skip
    failures: list[Failure] = []
    waiting = list(reversed(cells))
    running: dict[ray.ObjectRef[tuple[Run, Scores]], Cell] = {}
    while waiting or running:
        while waiting and len(running) < allotment.concurrent:
            cell = waiting.pop()
            running[task.remote(cell, git_commit())] = cell
        (ready, *_), _ = ray.wait(list(running), num_returns=1)
        cell = running.pop(ready)
        done = f"{len(cells) - len(waiting) - len(running)} of {len(cells)}"
        try:
            run, scores = ray.get(ready)
            _check(run, cell)
        except (RayError, _OtherVersionsError) as error:
            failures.append(Failure(cell, _reason(error)))
            console.print(f"{done}: {failures[-1]}")
            continue
        with interruption.deferred():
            results.add(run, scores)
        console.print(f"{done}: {_line(run, scores)}")
        if interruption.signal is not None:
            raise KeyboardInterrupt
    return failures


class _OtherVersionsError(Exception):
    """A machine of the cluster runs other code or libraries than this one."""


def _check(run: Run, cell: Cell) -> None:
    wanted = Key.of(cell.config).versions
    if run.key.versions != wanted:
        raise _OtherVersionsError(
            f"trained with code {run.code_version} and scikit-learn {run.scikit_learn}, "
            f"here are {wanted.code} and {wanted.scikit_learn}"
        )


def _reason(error: Exception) -> str:
    cause = error.cause if isinstance(error, RayTaskError) else error
    lines = str(cause).strip().splitlines()
    return f"{type(cause).__name__}: {lines[0] if lines else 'no message'}"


def _line(run: Run, scores: Scores) -> str:
    kinds = ("latent", "encoded", "pixels")
    accuracies = [f"{kind} {scores[f'relation_accuracy_{kind}'].value:.3f}" for kind in kinds]
    accuracies.append(f"factors {scores['factor_accuracy'].value:.3f}")
    seconds = f"{run.cpu_seconds:.0f} core-seconds and {run.scoring_seconds:.0f} of scoring"
    return f"{run.name}, seed {run.seed}: {', '.join(accuracies)} ({seconds})"
