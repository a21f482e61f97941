"""Tables of commands: each names its function, which is imported when the command runs."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module

from weakdis_core.errors import UserError


@dataclass(frozen=True)
class Command:
    """A command of a program.

    Attributes:
        target: `module:function`, called with the words after the command and the usage's name.
        purpose: What it does, for the help.
        example: Words of an example after its name; none without one.
    """

    target: str
    purpose: str
    example: str = ""


def dispatch(
    prog: str,
    description: str,
    groups: Mapping[str, Mapping[str, Command]],
    args: Sequence[str] | None = None,
) -> None:
    """Run the command that the first word names, or print the help.

    Args:
        prog: Name of the program in its help.
        description: What the program does.
        groups: For each title of the help its commands, by name.
        args: The words, by default those of the process.

    Raises:
        UserError: There is no such command, or the command raised it.
    """
    name, *rest = (sys.argv[1:] if args is None else args) or ["--help"]
    commands = {name: each for group in groups.values() for name, each in group.items()}
    if name in ("-h", "--help"):
        print(_help(prog, description, groups))
    elif name in commands:
        module, _, function = commands[name].target.partition(":")
        getattr(import_module(module), function)(rest, f"{prog} {name}")
    else:
        raise UserError(f"command: {name!r} is not one of {', '.join(commands)}")


def _help(prog: str, description: str, groups: Mapping[str, Mapping[str, Command]]) -> str:
    lines = [f"usage: {prog} COMMAND ...", "", description]
    for title, commands in groups.items():
        lines += ["", f"{title}:", *(f"  {n:<12}{each.purpose}" for n, each in commands.items())]
    examples = [
        f"  {prog} {name} {each.example}"
        for group in groups.values()
        for name, each in group.items()
        if each.example
    ]
    return "\n".join([*lines, "", "examples:", *examples, "", f"{prog} COMMAND --help: its flags"])
