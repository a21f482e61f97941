"""`python sweeps/run.py --variant V`: search a variant's settings on Ray, store all in MLflow."""

from __future__ import annotations

import sys

from sweeps.settings import SweepSettings, parse_arguments
from weakdis_core import console


def run() -> None:
    """Read the flags, then plan or run a sweep of each variant."""
    settings = parse_arguments()
    # Ray, MLflow and torch take seconds to load: not before the flags are known to be right.
    from rich.console import Console

    from sweeps.budget import Interruption
    from sweeps.cluster import allot, cluster
    from sweeps.search import search

    screen = Console()
    names = settings.sweep_names()
    check_names(settings, names)
    with cluster(settings) as available, Interruption() as interruption:
        allotment = allot(settings, available)
        found = True
        try:
            for variant, name in names.items():
                found &= search(settings, variant, name, allotment, interruption, screen)
                if interruption.signal is not None:
                    break
        except KeyboardInterrupt:
            screen.print("interrupted")
    if interruption.signal is not None:
        sys.exit(interruption.exit_code)
    if not found:
        sys.exit(1)


def check_names(settings: SweepSettings, names: dict[str, str]) -> None:
    """Refuse names that are taken, before anything is started.

    Raises:
        UserError: A sweep of that name exists.
    """


if __name__ == "__main__":
    console.main(run)
