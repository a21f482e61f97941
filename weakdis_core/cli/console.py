"""Shared by every entry point: flags, error messages, exit codes and progress bars."""

import functools
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import tyro
from pydantic import BaseModel, ValidationError
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from tyro.constructors import ConstructorRegistry, StructConstructorSpec, StructTypeInfo

from weakdis_core.config.config import Config, describe
from weakdis_core.errors import UserError
from weakdis_core.streams import protect_streams

T = TypeVar("T")

# With and without brackets: urllib keeps those of an address, requests does not.
_LOOPBACK = ("localhost", "127.0.0.1", "::1", "[::1]")


def main(function: Callable[[], object]) -> NoReturn:
    """Run an entry point and exit: code 0 on success, 2 after a UserError, 130 after Ctrl-C.

    A UserError is printed as `error: message` on stderr, without a traceback; other exceptions are
    bugs and keep theirs. `function` itself imports the libraries that need a home folder.
    """
    protect_streams()
    _reach_loopback_directly()
    try:
        _check_home()
        function()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    sys.exit(0)


def _check_home() -> None:
    try:
        Path.home()
    except RuntimeError:
        raise UserError(
            "HOME: it is not set, and this user has no home folder; HOME=FOLDER COMMAND names one"
        ) from None


def _reach_loopback_directly() -> None:
    """Bypass proxies for servers on this machine, in this process and its children."""
    # If both are set, most libraries read only the first.
    own = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    listed = [each.strip() for each in own.split(",") if each.strip()]
    if "*" not in listed:
        listed += [each for each in _LOOPBACK if each not in listed]
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = ",".join(listed)


def parse(
    target: Callable[..., T],
    args: Sequence[str] | None = None,
    *,
    default: T | None = None,
    prog: str | None = None,
) -> T:
    """Parse flags by `tyro.cli`, with errors such as `loss.lambda: -1 is not allowed: ...`.

    Args:
        target: A settings class to fill, or a function to call with the values of the flags.
        args: The flags, by default those of the process.
        default: Settings to start from (classes only).
        prog: Name in the usage line.

    Raises:
        UserError: A setting is out of range.
        SystemExit: The flags cannot be read (code 2; tyro explains them on stderr) or ask for help.
    """
    # The type stubs of tyro.cli have no optional default.
    start: Any = tyro.MISSING_NONPROP if default is None else default
    registry = _settings_registry()
    parsed: T = tyro.cli(target, args=args, default=start, prog=prog, registry=registry)
    return parsed


def run_command(
    commands: Mapping[str, Callable[..., object]],
    args: Sequence[str] | None = None,
    *,
    prog: str | None = None,
    description: str | None = None,
) -> None:
    """Run the command that the first argument names, with the flags after it.

    Raises:
        UserError: A setting is out of range, or the command raised it.
        SystemExit: The flags cannot be read (code 2) or ask for help.
    """
    call: Callable[[], object] = tyro.extras.subcommand_cli_from_dict(
        {name: _deferred(command) for name, command in commands.items()},
        args=args,
        prog=prog,
        description=description,
        registry=_settings_registry(),
    )
    call()


def is_interactive(console: Console) -> bool:
    """Check whether a console is a terminal, and not that of a CI job."""
    return console.is_terminal and os.environ.get("CI", "").lower() in ("", "0", "false")


@contextmanager
def progress(label: str) -> Iterator[Callable[[int, int], None]]:
    """Show a label and the time on stderr if that is a terminal; the line disappears at the end.

    Yields:
        A function that takes the progress as (done, total); its first call adds a bar.
    """
    console = Console(stderr=True)
    columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
    hidden = not is_interactive(console)
    with Progress(*columns, console=console, transient=True, disable=hidden) as bar:
        task = bar.add_task(label, total=None)

        def advance(done: int, total: int) -> None:
            bar.columns = (*columns, BarColumn(10), TextColumn(f"{done}/{total}"))
            bar.update(task, completed=done, total=total)

        yield advance


def _deferred(command: Callable[..., object]) -> Callable[..., Callable[[], object]]:
    """Make a command return a call of itself. Tyro would report its ValueErrors as flag errors."""

    @functools.wraps(command)
    def bind(*args: Any, **kwargs: Any) -> Callable[[], object]:
        return functools.partial(command, *args, **kwargs)

    return bind


def _settings_registry() -> ConstructorRegistry:
    """Return tyro's rules, with pydantic's errors as UserErrors that have the full dotted name.

    Tyro leaves out the group in the name, and does not catch errors of the outermost settings.
    """
    registry = ConstructorRegistry()
    inside: list[type] = []

    @registry.struct_rule
    def settings_rule(info: StructTypeInfo) -> StructConstructorSpec | None:
        model = info.type
        if not (isinstance(model, type) and issubclass(model, BaseModel)) or model in inside:
            return None
        inside.append(model)
        # Tyro's own rule for pydantic: `inside` keeps this rule from calling itself.
        spec = ConstructorRegistry.get_struct_spec(info)
        inside.remove(model)
        if not isinstance(spec, StructConstructorSpec):
            return None
        fields = Config.model_fields.items()
        group = tuple(name for name, field in fields if field.annotation is model)
        build = spec.instantiate

        @functools.wraps(build)
        def instantiate(**values: Any) -> Any:
            try:
                return build(**values)
            except ValidationError as error:
                raise UserError(describe(error, group)) from None

        return StructConstructorSpec(instantiate=instantiate, fields=spec.fields)

    return registry
