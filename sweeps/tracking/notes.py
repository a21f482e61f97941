"""The notes that Optuna's dashboard shows: the descriptions of the runs in MLflow, with links."""

from __future__ import annotations

import contextlib
from pathlib import Path

from mlflow.utils.mlflow_tags import MLFLOW_RUN_NOTE
from optuna.exceptions import OptunaError
from optuna.study import Study

from sweeps.compat import save_note, study_beside
from sweeps.tracking.client import RunClient
from sweeps.tracking.experiments import run_address
from sweeps.tracking.outbox import PARENT, Entry
from sweeps.trial import first_number

# For each trial that it shows, the dashboard reads all notes of the study.
_MOST_NOTES = 1000
# Kinds of entries whose description becomes a note; a trial gets one when it ends.
_OF_TRIAL = ("log", "end")
_OF_SWEEP = ("begin", *_OF_TRIAL)


class NotedDelivery:
    """Sends entries to MLflow, and copies the description of an ended trial to Optuna's dashboard.

    It runs in the thread of `DeliveryWorker`, so that trials do not wait for the notes.

    Args:
        client: Sends the entries.
        study: The study of the sweep; its confirm runs are in another one beside it.
        report: Where the sweep's report is written, if it gets one.
    """

    def __init__(self, client: RunClient, study: Study, report: Path | None) -> None:
        self._client = client
        self._study = study
        self._report = report

    def __call__(self, entry: Entry) -> None:
        """Send an entry, then set the note."""
        self._client(entry)
        text = entry.tags.get(MLFLOW_RUN_NOTE)
        if text is None or entry.kind not in (_OF_SWEEP if entry.key == PARENT else _OF_TRIAL):
            return
        text += f"\n\n[Run in MLflow]({run_address(*self._client.address_of(entry.key))})"
        text += f"; report: `{self._report}`" if self._report else ""
        # Without the note, nothing is lost that MLflow does not have.
        with contextlib.suppress(OptunaError, OSError):
            self._save(entry.key, text)

    def _save(self, key: str, text: str) -> None:
        if key == PARENT:
            save_note(self._study, None, text)
            return
        stage, _, digits = key.rpartition("-")
        study = study_beside(self._study, "/confirm") if stage == "confirm" else self._study
        number = int(digits) - first_number(study)
        if number < _MOST_NOTES:
            save_note(study, number, text)
