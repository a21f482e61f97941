"""The committed archive of trained runs: `runs.csv` and `scores.csv`."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.data.runs import build_frame, get_keys, name_draw, read_runs, select_finished
from analysis.data.store import is_missing, resolve_uri
from weakdis_core.errors import UserError
from weakdis_core.files import write_text
from weakdis_core.metrics.accuracy import ABSENT, LABELLED
from weakdis_core.run_key import RunKey, Versions
from weakdis_core.scores.counts import CHANGED, COUNTS, FIDELITY, IMAGES, count_of

RUNS_FILE, SCORES_FILE = "runs.csv", "scores.csv"
RESULTS = Path("results")
"""Default folder of the archive, relative to the current folder."""

RUN_COLUMNS = {
    "run": "run_id",
    "name": "row",
    "variant": "variant",
    "model": "model.kind",
    "labels": "data.labels",
    "label_draw": "data.label_draw",
    "source": "source",
    "seed": "seed",
    "config": "config_hash",
    "code_version": "core",
    "scikit_learn": "sklearn",
    "steps": "training.steps",
    "cpu_seconds": "cpu_seconds",
    "scoring_seconds": "scoring_seconds",
    "device": "device",
    "machine": "machine",
    "git_commit": "commit",
    "torch": "torch",
    "numpy": "numpy",
    "python": "python",
    "finished": "finished",
}
"""Columns of `runs.csv`, and the matching columns of the frame."""

SCORE_COLUMNS = ("run", "metric", "value", "n")
_NUMBERS = ("labels", "seed", "code_version", "steps", "cpu_seconds", "scoring_seconds")
_TEST = "test/"
# Counts without lines of their own, and a score whose `n` holds each of them.
_COUNTED = {
    IMAGES: "factor_accuracy",
    CHANGED: "swap_psnr",
    ABSENT: "relation_accuracy_encoded_absent",
}

Line = dict[str, str]


class Archive:
    """The lines of both files. They stay text, so committed lines never change.

    Args:
        folder: Folder of the files; a missing file has no lines.

    Raises:
        UserError: A file cannot be read, or has wrong columns or numbers.
    """

    def __init__(self, folder: Path = RESULTS) -> None:
        self.folder = folder
        self.runs = _read_lines(folder / RUNS_FILE, list(RUN_COLUMNS), _NUMBERS)
        scores = _read_lines(folder / SCORES_FILE, list(SCORE_COLUMNS), ("value", "n"))
        self.scores: dict[str, list[Line]] = {line["run"]: [] for line in self.runs}
        for line in scores:
            # A process killed between the two writes leaves scores without a run.
            if line["run"] in self.scores:
                self.scores[line["run"]].append(line)

    def frame(self) -> pd.DataFrame:
        """Return the runs as a frame like that of `analysis.data.runs.read_runs`."""
        return build_frame([_parse_run(line, self.scores[line["run"]]) for line in self.runs])

    def add(self, runs: pd.DataFrame) -> None:
        """Add runs of the frame; each replaces the archived run of its row, seed and source."""
        for _, run in runs.iterrows():
            line = _format_run(run)
            for old in [old for old in self.runs if _replaces(line, old)]:
                self.runs.remove(old)
                self.scores.pop(old["run"], None)
            self.runs.append(line)
            self.scores[line["run"]] = list(_format_scores(run, line["run"]))

    def write(self) -> None:
        """Write both files, sorted by source, variant, model, labels, row and seed.

        Raises:
            UserError: The folder cannot be written.
        """
        runs = sorted(self.runs, key=_sort_key)
        scores = [score for run in runs for score in self.scores[run["run"]]]
        # Scores first: then every listed run has its scores, even after a crash.
        for file, columns, lines in (
            (SCORES_FILE, SCORE_COLUMNS, scores),
            (RUNS_FILE, RUN_COLUMNS, runs),
        ):
            table = pd.DataFrame(lines, columns=list(columns))
            write_text(self.folder / file, table.to_csv(index=False, lineterminator="\n"))


def read_frame(tracking_uri: str | None = None, results: Path = RESULTS) -> pd.DataFrame:
    """Read the runs of an MLflow store and of the archive.

    Args:
        tracking_uri: The store; by default MLFLOW_TRACKING_URI, or else `mlflow.db` in the current
            folder, which may be missing.
        results: Folder of the archive, which may be missing.

    Returns:
        A frame like that of `analysis.data.runs.read_runs`, archived runs first.

    Raises:
        UserError: The store or the archive cannot be read.
    """
    uri = resolve_uri(tracking_uri)
    tracked = build_frame([]) if is_missing(uri) else read_runs(uri)
    return merge_runs(tracked, Archive(results).frame())


def merge_runs(tracked: pd.DataFrame, archived: pd.DataFrame) -> pd.DataFrame:
    """Join the runs of MLflow and of the archive; MLflow wins if both have a run."""
    known = set(get_keys(select_finished(tracked)))
    others = archived[[key not in known for key in get_keys(archived)]]
    parts = [part for part in (others, tracked) if len(part)]
    return pd.concat(parts, ignore_index=True) if parts else tracked


def get_scores(run: pd.Series[Any]) -> dict[str, float]:
    """Return the test scores of a row of the frame, by name; a missing score is NaN."""
    return {
        str(name).removeprefix(_TEST): float(value)
        for name, value in run.items()
        if str(name).startswith(_TEST)
    }


def _parse_run(line: Line, scores: Iterable[Line]) -> dict[str, object]:
    """Convert a line of `runs.csv` and its scores to a row of the frame."""
    row: dict[str, object] = {column: line[name] for name, column in RUN_COLUMNS.items()}
    row |= {"stage": "study", "status": "FINISHED", "outcome": "complete"}
    row |= {"core": int(line["code_version"]), "step": float(line["steps"])}
    finished = pd.Timestamp(line["finished"]).timestamp() * 1000
    row |= {"started": finished, "finished": finished}
    counts = {}
    for score in scores:
        row[f"{_TEST}{score['metric']}"] = float(score["value"])
        counts[score["metric"]] = score["n"]
    counted = _COUNTED
    if any(name.startswith(f"{LABELLED}_") for name in counts):
        # Own pictures: the accuracies are over those whose every factor is labelled.
        counted = counted | {LABELLED: "factor_accuracy", IMAGES: "reconstruction_psnr"}
    for count, score_name in counted.items():
        if counts.get(score_name):
            row[f"{_TEST}{count}"] = float(counts[score_name])
    return row


def _format_run(run: pd.Series[Any]) -> Line:
    values = run.to_dict() | {"data.label_draw": name_draw(run)}
    line = {name: _format_value(values[column]) for name, column in RUN_COLUMNS.items()}
    versions = Versions(int(run["core"]), str(run["sklearn"]))
    key = RunKey(str(run["config_hash"]), int(run["seed"]), str(run["source"]), versions)
    finished = run["finished"].isoformat(timespec="seconds")
    return line | {"run": key.run_id, "finished": finished}


def _format_scores(run: pd.Series[Any], run_id: str) -> Iterable[Line]:
    scores = get_scores(run)
    # Fidelity is measured for every modular model; an undefined score is stored with its count.
    undefined = () if math.isnan(scores.get(CHANGED, math.nan)) else FIDELITY
    for name in sorted({*scores, *undefined} - set(COUNTS)):
        value, n = scores.get(name, math.nan), count_of(name, scores)
        if name in undefined or not math.isnan(value):
            count = "" if n is None else str(n)
            yield {"run": run_id, "metric": name, "value": _format_value(value), "n": count}


def _replaces(line: Line, old: Line) -> bool:
    same_row = all(old[name] == line[name] for name in ("name", "seed", "source"))
    return same_row or old["run"] == line["run"]


def _format_value(value: object) -> str:
    # Six digits: more would differ from machine to machine.
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _sort_key(line: Line) -> tuple[str, str, str, int, str, int]:
    labels, seed = int(line["labels"]), int(line["seed"])
    return (line["source"], line["variant"], line["model"], labels, line["name"], seed)


def _read_lines(path: Path, columns: list[str], numbers: Iterable[str]) -> list[Line]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error})") from None
    reader = csv.DictReader(io.StringIO(text))
    if reader.fieldnames != columns:
        raise UserError(f"{path}: the columns are not {', '.join(columns)}")
    lines = []
    for line in reader:
        for column in numbers:
            value = line[column]
            try:
                float(value or ("" if column != "n" else 0))
            except (TypeError, ValueError):
                where = f"{path}, line {reader.line_num}"
                raise UserError(f"{where}: {column}: {value!r} is not a number") from None
        lines.append(line)
    return lines
