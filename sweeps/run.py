"""`python sweeps/run.py`: search a variant's settings on Ray, or train a study of the paper."""

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
    sweeps = [settings]
    if settings.resume is not None:
        from sweeps.resumed import resumed

        sweeps = resumed(settings)
    for each in sweeps:
        for variant in each.variants:
            each.base_config(variant)
    # Ray, MLflow and torch take seconds to load: not before the flags are known to be right.
    if settings.plan:
        from sweeps.plan import print_plan
        from sweeps.study_plan import print_study_plan

        for each in sweeps:
            (print_plan if each.study is None else print_study_plan)(each, Console())
        return
    for each in sweeps:
        each.check_storage()
    from sweeps.search import search_all

    sys.exit(search_all(sweeps, Console()))


if __name__ == "__main__":
    main(run)
