"""The adapter that receives Tune's callbacks and calls the listeners."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial

from sweeps.cluster.storage import path_within
from sweeps.state.trials import Trials
from sweeps.trial import Listener, TrialRecord


class TuneEvents(Callback):
    """Finds the record of each trial of Tune and calls all listeners in order.

    Args:
        trials: The records.
        listeners: The listeners, including `trials`.
    """

    def __init__(self, trials: Trials, listeners: Sequence[Listener]) -> None:
        self._trials = trials
        self._listeners = listeners

    def __getstate__(self) -> dict[str, Any]:
        # Tune pickles its callbacks, but threads and connections cannot be pickled.
        return {}

    def setup(self, *_: Any, **info: Any) -> None:
        """Call `session_started`."""
        for each in self._listeners:
            each.session_started()

    def on_step_begin(self, *_: Any, **info: Any) -> None:
        """Call `step_started`."""
        for each in self._listeners:
            each.step_started()

    def on_trial_recover(self, *_: Any, **info: Any) -> None:
        """Count the death of a process, after which Tune reschedules its trial."""
        trial: Trial = info["trial"]
        self._trials.count_death(trial.trial_id, trial.config["trial_id"])

    def on_trial_start(self, *_: Any, **info: Any) -> None:
        """Open the trial's record and call `trial_started`."""
        trial: Trial = info["trial"]
        record = self._trials.open_record(trial.trial_id, trial.config)
        for each in self._listeners:
            each.trial_started(record)

    def on_trial_result(self, *_: Any, **info: Any) -> None:
        """Call `trial_reported`."""
        record = self._trials.records[info["trial"].config["trial_id"]]
        for each in self._listeners:
            each.trial_reported(record, info["result"])

    def on_checkpoint(self, *_: Any, **info: Any) -> None:
        """Call `checkpoint_saved`."""
        record = self._trials.records[info["trial"].config["trial_id"]]
        for each in self._listeners:
            each.checkpoint_saved(record, path_within(info["checkpoint"].path))

    def on_trial_complete(self, *_: Any, **info: Any) -> None:
        """Call `trial_ended`, unless the trial never started and so has no record."""
        record = self._trials.records.get(info["trial"].config["trial_id"])
        if record is not None:
            self._end(record)

    def on_trial_error(self, *_: Any, **info: Any) -> None:
        """Store the error and call `trial_ended`, unless the trial is suggested again."""
        trial: Trial = info["trial"]
        if self._trials.starts_again(trial.trial_id):
            return
        record = self._trials.open_record(trial.trial_id, trial.config)
        record.error = _reason_of(trial)
        self._end(record)

    def on_experiment_end(self, *_: Any, **info: Any) -> None:
        """Call `session_ended`."""
        for each in self._listeners:
            each.session_ended()

    def _end(self, record: TrialRecord) -> None:
        for each in self._listeners:
            each.trial_ended(record)


def _reason_of(trial: Trial) -> str:
    """Return the last line of a failed trial's error."""
    # `Trial.get_error` reads the storage, where the file arrives later.
    file = Path(trial.error_file or "")
    # The file has the encoding of the machine on which the trial ran.
    text = file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""
    return text.strip().splitlines()[-1].strip() if text.strip() else "the trial's process died"
