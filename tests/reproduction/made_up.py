"""Rows that nobody trained, for known answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from reproduction.cells import Cell, Row
from reproduction.rows import Key, Run, Score, Stored, Versions

HERE = Versions.here()


def run_of(cell: Cell, versions: Versions = HERE, **fields: object) -> Run:
    key = Key.of(cell.config, versions)
    values = {
        "run": key.run,
        "name": cell.name,
        "variant": cell.variant,
        "model": "modular",
        "labels": cell.config.data.labels,
        "source": key.source,
        "seed": key.seed,
        "config": key.config,
        "code_version": versions.code,
        "scikit_learn": versions.scikit_learn,
        "steps": cell.config.training.steps,
        "cpu_seconds": 100.0,
        "scoring_seconds": 10.0,
        "device": "cpu x86_64",
        "machine": "Abacus",
        "git_commit": "0123456789abcdef",
        "torch": "2",
        "numpy": "2",
        "python": "3",
        "finished": "2026-01-02T03:04:05+00:00",
    }
    return Run.model_validate(values | fields)


def stored(*rows: tuple[Row, Mapping[str, Sequence[float]]], versions: Versions = HERE) -> Stored:
    """Rows with the scores of each seed, by metric; as many seeds as there are scores."""
    runs, scores = [], {}
    for row, metrics in rows:
        for i, cell in enumerate(row[: len(next(iter(metrics.values())))]):
            run = run_of(cell, versions)
            runs.append(run)
            scores[run.run] = {name: Score(values[i], 100) for name, values in metrics.items()}
    return Stored(tuple(runs), scores)


def together(*parts: Stored) -> Stored:
    """Several as one."""
    scores = {name: each for part in parts for name, each in part.scores.items()}
    return Stored(tuple(run for part in parts for run in part.runs), scores)
