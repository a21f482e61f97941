"""`python sweeps/run.py --variant V`: search a variant's settings on Ray, store all in MLflow."""

from __future__ import annotations

import sys

from rich.console import Console

from sweeps.settings import parse_arguments
from weakdis_core.console import main


def run() -> None:
    """Read the flags, then plan or run a sweep of each variant."""
    settings = parse_arguments()
    if settings.list or settings.status is not None:
        from sweeps.status import show

        show(settings, Console())
        return
    if settings.resume is not None:
        from sweeps.stored import check_free, resumed

        settings = resumed(settings)
    for variant in settings.variants:
        settings.base_config(variant)
    # Ray, MLflow and torch take seconds to load: not before the flags are known to be right.
    if settings.plan:
        from sweeps.plan import print_plan

        print_plan(settings, Console())
        return
    settings.check_storage()
    if settings.resume is not None:
        check_free(settings)
    from sweeps.search import search_all

    sys.exit(search_all(settings, Console()))


if __name__ == "__main__":
    main(run)
