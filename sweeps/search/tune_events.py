"""Tune's callbacks, passed on as events of records."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial

from sweeps.cluster.storage import path_within
from sweeps.state.ledger import Ledger
from sweeps.trial import Listener, TrialRecord


class TuneEvents(Callback):
    """Turns each trial of Tune into its record and calls all listeners, in their order.

    Args:
        ledger: Holds the records.
        listeners: Receive what happens, the ledger among them.
    """

    def __init__(self, ledger: Ledger, listeners: Sequence[Listener]) -> None:
        self._ledger = ledger
        self._listeners = listeners

    def __getstate__(self) -> dict[str, Any]:
        # Tune pickles its callbacks; threads and connections cannot be pickled, and a resumed sweep
        # makes new listeners.
        return {}

    def setup(self, *_: Any, **info: Any) -> None:
        """Start the session."""
        for each in self._listeners:
            each.session_started()

    def on_step_begin(self, *_: Any, **info: Any) -> None:
        """Start a step."""
        for each in self._listeners:
            each.step_started()

    def on_trial_recover(self, *_: Any, **info: Any) -> None:
        """Count a process that died: Tune has its trial wait for another one."""
        trial: Trial = info["trial"]
        self._ledger.count_death(trial.trial_id, trial.config["trial_id"])

    def on_trial_start(self, *_: Any, **info: Any) -> None:
        """Open the trial's record."""
        trial: Trial = info["trial"]
        record = self._ledger.open_record(trial.trial_id, trial.config)
        for each in self._listeners:
            each.trial_started(record)

    def on_trial_result(self, *_: Any, **info: Any) -> None:
        """Pass on a report."""
        record = self._ledger.records[info["trial"].config["trial_id"]]
        for each in self._listeners:
            each.trial_reported(record, info["result"])

    def on_checkpoint(self, *_: Any, **info: Any) -> None:
        """Pass on where a checkpoint lies."""
        record = self._ledger.records[info["trial"].config["trial_id"]]
        for each in self._listeners:
            each.checkpoint_saved(record, path_within(info["checkpoint"].path))

    def on_trial_complete(self, *_: Any, **info: Any) -> None:
        """End a trial whose process raised no error; one that never started has no record."""
        record = self._ledger.records.get(info["trial"].config["trial_id"])
        if record is not None:
            self._end(record)

    def on_trial_error(self, *_: Any, **info: Any) -> None:
        """End a trial whose process raised an error or died, unless it is suggested again."""
        trial: Trial = info["trial"]
        if self._ledger.starts_again(trial.trial_id):
            return
        record = self._ledger.open_record(trial.trial_id, trial.config)
        record.error = _reason_of(trial)
        self._end(record)

    def on_experiment_end(self, *_: Any, **info: Any) -> None:
        """End the session."""
        for each in self._listeners:
            each.session_ended()

    def _end(self, record: TrialRecord) -> None:
        for each in self._listeners:
            each.trial_ended(record)


def _reason_of(trial: Trial) -> str:
    """The last line of a failed trial's error, without the traceback."""
    # `Trial.get_error` looks in the storage, where the file arrives later.
    file = trial.error_file
    there = file and Path(file).is_file()
    # Libraries write in the encoding of the machine where the trial ran.
    text = Path(file).read_text(encoding="utf-8", errors="replace") if there else ""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "the trial's process died"
