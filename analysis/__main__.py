"""`python -m analysis`: tables, trials, runs, reports and models of sweeps and studies."""

from weakdis_core.cli.console import main


def run() -> None:
    """Run the command of the command line."""
    # MLflow takes seconds to import, and needs a home folder, which `main` checks.
    from analysis import commands

    commands.run()


if __name__ == "__main__":
    main(run)
