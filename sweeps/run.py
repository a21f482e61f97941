"""`weakdis sweep`, or `python sweeps/run.py`: search settings on Ray, or train a study."""

import sys
from collections.abc import Sequence

from rich.console import Console

from weakdis_core.cli.console import main, progress
from weakdis_core.errors import UserError


def run(args: Sequence[str] | None = None, prog: str = "python sweeps/run.py") -> None:
    """Read the flags, then list, plan or run sweeps.

    Raises:
        UserError: A flag is not allowed, or the system is Windows.
    """
    with progress("loading"):
        from sweeps.sweep_settings import parse_arguments

    settings = parse_arguments(args, prog)
    if sys.platform == "win32":
        raise UserError("platform: Windows is not allowed: sweeps run on Linux and macOS; use WSL2")
    if settings.list or settings.status is not None:
        from sweeps.cli.status import print_status

        print_status(settings, Console())
        return
    sweeps = [settings]
    if settings.resume is not None:
        from sweeps.state.resume import resume_settings

        sweeps = resume_settings(settings)
    for each in sweeps:
        for variant in each.variants:
            if each.resume is None:
                each.base_config(variant)
    # Ray and MLflow take seconds to load, so the flags are checked first.
    if settings.plan:
        from sweeps.cli.study_plan import print_study_plan
        from sweeps.cli.sweep_plan import print_plan

        for each in sweeps:
            (print_plan if each.study is None else print_study_plan)(each, Console())
        return
    for each in sweeps:
        each.check_storage()
    with progress("loading Ray, MLflow and Optuna"):
        from sweeps.sweep import run_sweeps

    sys.exit(run_sweeps(sweeps, Console()))


if __name__ == "__main__":
    main(run)
