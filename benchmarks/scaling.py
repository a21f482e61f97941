"""`make scaling`: measure how the cost of a sweep grows with its trials, for docs/scaling.md."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from rich.console import Console

from benchmarks.overhead import REPORTS
from benchmarks.run import describe_machine
from sweeps.tracking.run_info import git_commit

PAGE = Path(__file__).parents[1] / "docs" / "scaling.md"
TRIALS = (100, 1000, 10000)
COLUMNS = {
    "trials": "trials",
    "seconds": "seconds a trial",
    "late": "of the last tenth",
    "cpu": "CPU seconds of them",
    "memory": "driver, MiB",
    "study": "study, MiB",
    "mlflow": "MLflow, MiB",
    "outbox": "outbox, MiB",
    "tune": "Tune's snapshot, MiB",
}
BLOCK = re.compile(r"(?<=<!-- measured -->\n).*?(?=<!-- end -->)", re.S)


def main() -> None:
    """Measure sweeps of growing size and write the table."""
    console = Console()
    rows = []
    for trials in TRIALS:
        # A process for each size, because memory is measured at its peak.
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.overhead", str(trials)],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        rows.append(json.loads(done.stdout.splitlines()[-1]))
        console.print(rows[-1])
    lines = ["| " + " | ".join(COLUMNS.values()) + " |", "|" + "---:|" * len(COLUMNS)]
    lines += [
        "| " + " | ".join(_format_value(row[name]) for name in COLUMNS) + " |" for row in rows
    ]
    footer = f"{describe_machine()}; {REPORTS} reports a trial; commit {git_commit()[:7]}."
    text = "\n".join(["", *lines, "", footer, "", ""])
    PAGE.write_text(BLOCK.sub(lambda _: text, PAGE.read_text()))


def _format_value(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.3g}"


if __name__ == "__main__":
    main()
