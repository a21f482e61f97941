"""The listener that tracks a sweep in MLflow: a parent run, and a child run for each trial.

Ray's own MLflow callback blocks the driver with a call for each number, repeats runs after a
restore, and has no parent run.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from mlflow.utils.mlflow_tags import MLFLOW_RUN_NOTE

from sweeps.names import SHEET
from sweeps.state.trials import Trials, finite_metrics
from sweeps.text import format_settings
from sweeps.tracking.outbox import OF_REPORT, PARENT, Entry, Kind
from sweeps.tracking.run_info import SweepRun, describe_best, describe_trial
from sweeps.tracking.worker import DeliveryWorker
from sweeps.trial import Listener, Outcome, Stage, TrialRecord
from weakdis_core.config.config import replaced, validated
from weakdis_core.errors import UserError
from weakdis_core.pictures.sheet import SHEETS

Status = Literal["FINISHED", "FAILED", "KILLED"]

_GROUPS = ("train", "val", "test")

STATUS: dict[Outcome, Status] = {
    "complete": "FINISHED",
    "pruned": "FINISHED",
    "failed": "FAILED",
    "out_of_time": "KILLED",
    "interrupted": "KILLED",
}


class RunTracker(Listener):
    """Submits entries for MLflow, one for each event of a trial.

    Args:
        writer: Delivers the entries.
        sweep: The parts that the runs share.
        trials: Records of the trials.
        stage: What the trials are for.
    """

    def __init__(
        self, writer: DeliveryWorker, sweep: SweepRun, trials: Trials, stage: Stage = "search"
    ) -> None:
        self._writer = writer
        self._sweep = sweep
        self._trials = trials
        self._stage = stage
        self._notes: list[str] = []
        # Outcomes that MLflow has; those of mended records may not have been sent.
        self._closed = {each.trial_id: each.outcome for each in trials.ended() if not each.mended}
        self._begun: set[str] = set()
        self._device = ""
        # Tags of reports by trial id; a tag is sent when it changes.
        self._reported: dict[str, dict[str, str]] = {}

    def of_stage(self, stage: Stage, trials: Trials) -> RunTracker:
        """Return a tracker of another stage of the same sweep."""
        return RunTracker(self._writer, self._sweep, trials, stage)

    def open(self) -> None:
        """Create the parent run, or reopen it."""
        tags = {"kind": "study" if self._stage == "study" else "sweep"}
        tags |= {"mlflow.runName": self._sweep.name, MLFLOW_RUN_NOTE: self._description()}
        tags |= self._ended()
        self._open_run(PARENT, tags, self._sweep.params)
        self._submit(PARENT, "experiment", tags=self._sweep.experiment)

    def trial_started(self, record: TrialRecord) -> None:
        """Create a trial's run with its params and tags, or reopen it."""
        key = record.trial_id
        tags = {"kind": "trial", "trial_id": key, "stage": self._stage}
        tags[MLFLOW_RUN_NOTE] = describe_trial(self._sweep, record, self._stage, {})
        tags["mlflow.runName"] = f"trial {record.number}"
        params: Mapping[str, Any] = record.values
        # A trial with invalid values fails and reports them itself.
        with contextlib.suppress(UserError):
            # A trial that failed before it started has no config.
            shared = self._sweep.base.to_dict()
            config = validated(record.config or replaced(shared, record.values))
            params = config.flat()
            tags |= {"config_hash": config.hash(), "seed": str(config.seed)}
            if self._stage == "confirm":
                tags["mlflow.runName"] = f"confirm {config.hash()} seed {config.seed}"
        if self._stage == "study":
            tags |= {"row": record.values["row"]}
            tags["mlflow.runName"] = format_settings(record.values)
        self._closed.pop(key, None)
        self._begun.add(key)
        self._open_run(key, tags, params)

    def trial_reported(self, record: TrialRecord, result: Mapping[str, Any]) -> None:
        """Log a report's metrics at its training step, and the tags that changed."""
        key, known = record.trial_id, self._reported.setdefault(record.trial_id, {})
        seen = {name: result.get(name) for name in ("device", "machine")}
        seen |= {"note": record.note, "host": " ".join(record.hosts)}
        tags = {name: str(tag) for name, tag in seen.items() if tag and known.get(name) != tag}
        known |= tags
        if "device" in tags and not self._device:
            self._device = tags["device"]
            self.set_tags(PARENT, {"device": self._device})
        metrics = finite_metrics(result, _GROUPS)
        # The report of the test scores lacks `OF_REPORT`.
        costs = (OF_REPORT, "cpu_seconds", "scoring_seconds")
        metrics |= {name: float(result[name]) for name in costs if name in result}
        if metrics or tags:
            self._submit(key, "log", step=int(result.get("step", 0)), metrics=metrics, tags=tags)

    def trial_ended(self, record: TrialRecord) -> None:
        """End a trial's run with its outcome; log the best so far of a search on the parent."""
        if record.trial_id not in self._begun:
            # The trial failed before it started.
            self.trial_started(record)
        self._end(record)

    def session_ended(self) -> None:
        """End the runs of trials that were cut short."""
        self.end_all()

    def end_all(self) -> None:
        """End the runs of all trials that have ended."""
        for record in self._trials.ended():
            self._end(record)

    def cut_short(self) -> None:
        """End all trials and their runs."""
        self._trials.cut_short()
        self.end_all()

    def log_metrics(self, key: str, metrics: Mapping[str, float], step: int) -> None:
        """Log metrics of training, validation or test on a run: its trial's id, or `PARENT`."""
        self._submit(key, "log", metrics=finite_metrics(metrics, _GROUPS), step=step)

    def log_files(self, key: str, path: Path, folder: str | None = None) -> None:
        """Store a file, or all files of a folder if it exists, as artifacts of a run."""
        files = path.iterdir() if path.is_dir() else [path]
        for file in sorted(filter(Path.is_file, files)):
            self._submit(key, "file", file=str(file), folder=folder)

    def log_sheets(self, key: str, checkpoint: Path, after: int = -1) -> None:
        """Store the sheets of a checkpoint as images of a run, which its UI shows step by step.

        Args:
            key: The run.
            checkpoint: Folder of the checkpoint.
            after: Step of the last sheet that the run has.
        """
        for file in (checkpoint / SHEETS).glob("*"):
            if (step := int(file.stem)) > after:
                self._submit(key, "image", file=str(file), folder=SHEET, step=step)

    def set_tags(self, key: str, tags: Mapping[str, Any]) -> None:
        """Set tags of a run."""
        self._submit(key, "log", tags=_text(tags))

    def add_note(self, text: str) -> None:
        """Add a paragraph to the parent's note, which the UI of MLflow shows as description."""
        self._notes.append(text)
        self.set_tags(PARENT, {MLFLOW_RUN_NOTE: self._description()})

    def describe(self, record: TrialRecord, test: Mapping[str, float]) -> None:
        """Set a trial's note, with its scores on test."""
        text = describe_trial(self._sweep, record, self._stage, test)
        self.set_tags(record.trial_id, {MLFLOW_RUN_NOTE: text})

    def log_model(
        self,
        record: TrialRecord,
        folder: Path,
        name: str,
        scores: Mapping[str, float],
        tags: Mapping[str, Any],
    ) -> None:
        """Store the model in a folder that MLflow wrote with a trial's run, and register it.

        The scores, `val/...` and `test/...`, and the tags become tags of the version.
        """
        own = self._tags({"trial_id": record.trial_id, **_text(tags)})
        self._submit(
            record.trial_id, "model", file=str(folder), model=name, step=record.step,
            metrics=finite_metrics(scores, _GROUPS), tags=own,
        )  # fmt: skip

    def close(self, status: Status) -> None:
        """End all trials and their runs, and the parent run."""
        self.cut_short()
        self._submit(PARENT, "end", status=status)

    def _end(self, record: TrialRecord) -> None:
        if self._closed.get(record.trial_id) == record.outcome:
            return
        if record.mended and not record.seconds:
            # The program was killed before it stored that the trial started.
            self.trial_started(record)
        self._closed[record.trial_id] = record.outcome
        text = describe_trial(self._sweep, record, self._stage, record.test)
        tags: dict[str, str] = {"outcome": record.outcome, MLFLOW_RUN_NOTE: text}
        if record.error:
            tags["reason"] = record.error[:500]
        self._submit(record.trial_id, "end", tags=tags, status=STATUS[record.outcome])
        tags, metrics = self._ended(), {}
        best = self._trials.best() if self._stage == "search" else None
        if best is not None and best.score is not None:
            metrics = {self._trials.metric.replace("val/", "best/"): best.score}
            tags[MLFLOW_RUN_NOTE] = self._description()
        step = len(self._trials.ended())
        self._submit(PARENT, "log", metrics=metrics, step=step, tags=tags)

    def _ended(self) -> dict[str, str]:
        """Return the number of ended trials as a tag; reports count missing runs by it."""
        return {f"{self._stage}.ended": str(len(self._trials.ended()))}

    def _description(self) -> str:
        found = describe_best(self._trials) if self._stage == "search" else ""
        return "\n\n".join(filter(None, (self._sweep.description, found, *self._notes)))

    def _open_run(self, key: str, tags: Mapping[str, str], params: Mapping[str, Any]) -> None:
        tags, dataset = self._tags(tags), self._sweep.dataset
        self._submit(key, "begin", tags=tags, params=_text(params), dataset=dataset)

    def _tags(self, own: Mapping[str, str]) -> dict[str, str]:
        source = {"mlflow.source.name": "sweeps/run.py", "mlflow.source.type": "LOCAL"}
        return {**self._sweep.tags, "sweep": self._sweep.name, **source, **own}

    def _submit(self, key: str, kind: Kind, **content: Any) -> None:
        self._writer.submit(Entry(key=key, kind=kind, at=int(time.time() * 1000), **content))


def _text(values: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in values.items()}
