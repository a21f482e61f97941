"""`python -m analysis`: the paper's tables beside ours, the sweeps' trials, and their models."""

from weakdis_core.cli.console import main


def run() -> None:
    """Read the command and carry it out."""
    # MLflow takes seconds to import, and fails where the user has no home folder.
    from analysis import commands

    commands.run()


if __name__ == "__main__":
    main(run)
