"""`python -m weakdis_core {data,train,manipulate}`."""

import sys

from weakdis_core.cli import console
from weakdis_core.errors import UserError

_USAGE = """usage: python -m weakdis_core COMMAND ...

commands (each has --help):
  data        list, prepare, download and show data sets
  train       train one configuration
  manipulate  draw test images before and after a relation"""


def run() -> None:
    """Run the command that the first argument names.

    Each command imports its own modules: `data` starts without loading the models.
    """
    command, args = (sys.argv[1] if len(sys.argv) > 1 else "--help"), sys.argv[2:]
    prog = f"python -m weakdis_core {command}"
    if command == "data":
        from weakdis_core.cli import data_commands

        data_commands.run(args, prog)
    elif command in ("train", "manipulate"):
        from weakdis_core.cli import model_commands

        {"train": model_commands.train, "manipulate": model_commands.manipulate_command}[command](
            args, prog
        )
    elif command in ("-h", "--help"):
        print(_USAGE)
    else:
        raise UserError(f"command: {command!r} is not one of data, train, manipulate")


if __name__ == "__main__":
    console.main(run)
