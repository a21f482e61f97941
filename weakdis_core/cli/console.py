"""What every entry point shares: reading flags, readable errors, exit codes and progress."""

import functools
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import tyro
from pydantic import BaseModel, ValidationError
from pydantic_core import InitErrorDetails
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from tyro.constructors import ConstructorRegistry, StructConstructorSpec, StructTypeInfo

from weakdis_core.config.config import describe
from weakdis_core.errors import UserError
from weakdis_core.streams import protect_streams

T = TypeVar("T")

# requests, and urllib, which keeps the brackets of an address.
_LOOPBACK = ("localhost", "127.0.0.1", "::1", "[::1]")


def main(function: Callable[[], object]) -> NoReturn:
    """Run an entry point and exit: 0 when done, 2 after a UserError, 130 after Ctrl-C.

    A UserError is printed as `error: message` on stderr, without a traceback. Anything else is a
    bug and keeps its traceback. Streams that can no longer be written do not change the outcome.

    A user without a home folder gets a UserError: `function` itself imports the libraries that
    cannot be imported without one.
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
    """Use no proxy for servers on this machine, in this process and its children."""
    # Most libraries read the first name only, where both are set.
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
    """`tyro.cli` whose refused settings read `error: loss.lambda: -1 is not allowed: ...`.

    Args:
        target: A settings class to fill, or a function to call with what the flags say.
        args: The flags; those of the process by default.
        default: Settings to start from (classes only).
        prog: Name shown in the usage line.

    Raises:
        UserError: A setting is out of range.
        SystemExit: The flags cannot be read (code 2, explained by tyro on stderr) or ask for help.
    """
    # The overloads of tyro.cli know no default that is sometimes missing.
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
        UserError: A setting is out of range, or the command's own.
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


@contextmanager
def progress(label: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on stderr, fed with (done, total); nothing where stderr is no terminal."""
    console = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    hidden = not console.is_terminal
    with Progress(*columns, TimeRemainingColumn(), console=console, disable=hidden) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _deferred(command: Callable[..., object]) -> Callable[..., Callable[[], object]]:
    """Read a command's flags now, run it later.

    Tyro takes a ValueError raised while it builds a value for a bad flag; a command running inside
    it would have its bugs reported as the user's.
    """

    @functools.wraps(command)
    def bind(*args: Any, **kwargs: Any) -> Callable[[], object]:
        return functools.partial(command, *args, **kwargs)

    return bind


def _settings_registry() -> ConstructorRegistry:
    """Tyro's rules, with pydantic's refusals turned into UserErrors that name the whole path.

    Without it tyro prints pydantic's own text for a nested group, without the value's full name,
    and lets a ValidationError of the outermost settings through as a traceback.
    """
    registry = ConstructorRegistry()
    groups: dict[type, tuple[str, ...]] = {}
    inside: list[type] = []

    @registry.struct_rule
    def settings_rule(info: StructTypeInfo) -> StructConstructorSpec | None:
        model = info.type
        if not (isinstance(model, type) and issubclass(model, BaseModel)) or model in inside:
            return None
        inside.append(model)
        # Tyro's own rule for pydantic, which this one wraps.
        spec = ConstructorRegistry.get_struct_spec(info)
        inside.remove(model)
        if not isinstance(spec, StructConstructorSpec):
            return None
        # A group's own fields are visited after the settings that hold it.
        group = groups.setdefault(model, ())
        for name, field in model.model_fields.items():
            if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
                groups[field.annotation] = (*group, name)
        build = spec.instantiate

        @functools.wraps(build)
        def instantiate(**values: Any) -> Any:
            try:
                return build(**values)
            except ValidationError as error:
                raise UserError(describe(_located(error, groups[model]))) from None

        return StructConstructorSpec(instantiate=instantiate, fields=spec.fields)

    return registry


def _located(error: ValidationError, group: tuple[str, ...]) -> ValidationError:
    """The same error with every location given from the outermost settings."""
    details = [
        InitErrorDetails(
            type=each["type"],
            loc=(*group, *each["loc"]),
            input=each["input"],
            ctx=each.get("ctx", {}),
        )
        for each in error.errors()
    ]
    return ValidationError.from_exception_data(error.title, details)
