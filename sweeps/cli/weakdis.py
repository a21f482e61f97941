"""`weakdis`: every command under one name. A new command is one entry of `COMMANDS`."""

import sys
from typing import NoReturn

from weakdis_core.__main__ import COMMANDS as CORE
from weakdis_core.cli.console import main as run_program
from weakdis_core.cli.dispatch import Command, dispatch
from weakdis_core.version import VERSION

COMMANDS = {
    "train": {
        "sweep": Command(
            "sweeps.run:run",
            "search the settings of a variant, or train a study of the paper",
            "--variant dsprites_v4 --confirm-seeds 5",
        ),
        "train": CORE["train"],
        "data": CORE["data"],
    },
    "look at results": {
        "ui": Command("sweeps.cli.ui:run", "serve MLflow's UI and Optuna's dashboard"),
        "report": Command(
            "analysis.commands:run_report", "write the page of a sweep", "--sweep NAME"
        ),
        "tables": Command(
            "analysis.commands:run_tables",
            "print tables: trials, comparisons, the paper's tables",
            "compare NAME/00001 NAME/00002",
        ),
        "score": CORE["score"],
    },
    "use a model": {
        "manipulate": Command(
            "analysis.serving.serving_commands:run_manipulate",
            "change one factor of a picture",
            "--model models:/weakdis-dsprites_v4@best --image FILE",
        ),
        "explore": Command(
            "analysis.serving.serving_commands:run_explore",
            "serve a page with a slider for each factor of a picture",
            "--model models:/weakdis-dsprites_v4@best",
        ),
    },
}
"""The commands by name, in the groups of the help."""

_DESCRIPTION = "Modular representations for weak disentanglement: search, train, compare, use."


def run() -> None:
    """Run the command that the first argument names."""
    if sys.argv[1:2] == ["--version"]:
        print(f"weakdis {VERSION}")
    else:
        dispatch("weakdis", _DESCRIPTION, COMMANDS)


def main() -> NoReturn:
    """Run the program, and exit."""
    run_program(run)


if __name__ == "__main__":
    main()
