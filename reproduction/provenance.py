"""What trained the rows of a report: code, libraries, machines and time."""

from __future__ import annotations

from reproduction.evidence import Evidence
from reproduction.rows import Run


def provenance(evidence: Evidence, runs: list[Run]) -> str:
    """Where the rows shown come from, in a paragraph.

    Args:
        evidence: All rows, and the versions of those that count.
        runs: The rows shown.
    """
    shown = _made_of(evidence, runs) if runs else "No model of the present versions yet."
    if evidence.left_out:
        shown += (
            f" {evidence.left_out} of another version of the core or of scikit-learn are left out."
        )
    return shown


def _made_of(evidence: Evidence, runs: list[Run]) -> str:
    timed = [run for run in runs if run.on_cpu]
    hours = sum(run.cpu_seconds + run.scoring_seconds for run in timed) / 3600
    finished = sorted(run.finished[:10] for run in runs)
    named = {
        "torch": {run.torch for run in runs},
        "NumPy": {run.numpy for run in runs},
        "Python": {run.python for run in runs},
        "on": {f"{run.machine} ({run.device})" for run in runs},
        "commits": {run.git_commit[:10] for run in runs},
    }
    of = "; ".join(f"{name} {', '.join(sorted(values))}" for name, values in named.items())
    shown = (
        f"{len(runs)} models, {hours:.1f} core-hours, {finished[0]} to {finished[-1]}; "
        f"core version {evidence.versions.code}, scikit-learn {evidence.versions.scikit_learn}; "
        f"{of}."
    )
    # The seconds of a GPU's host are no core-hours.
    elsewhere = dict.fromkeys(run.name for run in runs if not run.on_cpu)
    if elsewhere:
        shown += (
            f" {len(runs) - len(timed)} of them were trained on a GPU, in float32 like the others, "
            f"and are not in the core-hours: {'; '.join(elsewhere)}."
        )
    return shown
