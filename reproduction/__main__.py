"""`python -m reproduction PART ...`: train what the tables still miss."""

from __future__ import annotations

import sys

from rich.console import Console

from reproduction.settings import Reproduction
from weakdis_core.console import main, parse


def run() -> None:
    """Read the flags, then plan and train.

    Raises:
        UserError: A setting, the data, Ray or a file is at fault.
        SystemExit: A cell failed (1) or a signal came (128 and its number).
    """
    settings = parse(Reproduction, prog="python -m reproduction")
    # Ray and torch take seconds to load: not before the flags are known to be right.
    from reproduction.engine import Demand, at_once, train_cells
    from reproduction.plan import make_plan, plan_table
    from reproduction.rows import Results

    console = Console(soft_wrap=True, highlight=False)
    results = Results(settings.results)
    demand = Demand(
        settings.max_concurrent,
        settings.address,
        settings.data_dir,
        gpus_per_trial=settings.gpus_per_trial,
    )
    parts = make_plan(settings, results.read())
    console.print(plan_table(parts, at_once(demand)))
    if settings.plan:
        return
    to_do = [cell for part in parts for cell in part.to_do]
    failures = train_cells(to_do, results, demand, console) if to_do else []
    console.print("`python -m analysis results` writes the tables")
    if failures:
        console.print(f"{len(failures)} without a result:")
        for failure in failures:
            console.print(f"  {failure}")
        sys.exit(1)


if __name__ == "__main__":
    main(run)
