"""`make scaling`: how a sweep's own cost grows with its trials, written into docs/scaling.md."""

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
    """Measure sweeps of growing size, each in a process of its own, and write the table."""
    console = Console()
    rows = []
    for trials in TRIALS:
        # Memory is of the process at its largest: a new one for each.
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
    table = "\n".join(lines)
    text = f"\n{table}\n\n{describe_machine()}; {REPORTS} reports a trial; commit {git_commit()[:7]}.\n\n"
    page = PAGE.read_text()
    PAGE.write_text(BLOCK.sub(lambda _: text, page))


def _format_value(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.3g}"


if __name__ == "__main__":
    main()
