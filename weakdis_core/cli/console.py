"""Shared by every entry point: flags, error messages, exit codes and progress bars."""

import functools
import operator
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import is_dataclass, replace
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NoReturn, TypeVar, Union, cast, get_args, get_origin

import tyro
from pydantic import BaseModel, ValidationError
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from tyro.conf import FlagCreatePairsOff, OmitArgPrefixes, arg
from tyro.constructors import (
    MISSING_NONPROP,
    ConstructorRegistry,
    PrimitiveConstructorSpec,
    PrimitiveTypeInfo,
    StructConstructorSpec,
    StructFieldSpec,
    StructTypeInfo,
)

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
    registry = settings_registry()
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
        registry=settings_registry(),
    )
    call()


def run_function(
    function: Callable[..., object], args: Sequence[str] | None = None, *, prog: str | None = None
) -> None:
    """Call a function with the values of its flags; errors are those of `run_command`."""
    parse(_deferred(function), args, prog=prog)()


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


def settings_registry() -> ConstructorRegistry:
    """Return tyro's rules, with errors and help of our own.

    Pydantic's errors become UserErrors with the full dotted name: tyro leaves out the group, and
    does not catch errors of the outermost settings.
    """
    registry = ConstructorRegistry()
    registry.primitive_rule(_without_none)
    inside: list[type] = []

    @registry.struct_rule
    def settings_rule(info: StructTypeInfo) -> StructConstructorSpec | None:
        model = info.type
        is_settings = isinstance(model, type) and issubclass(model, BaseModel)
        if not (is_settings or is_dataclass(model)) or model in inside:
            return None
        if is_settings and len(model.__bases__) > 1:
            return _in_groups(model)
        inside.append(model)
        # Tyro's own rule for this type: `inside` keeps this rule from calling itself.
        spec = ConstructorRegistry.get_struct_spec(info)
        inside.remove(model)
        if not isinstance(spec, StructConstructorSpec):
            return None
        group = tuple(n for n, field in Config.model_fields.items() if field.annotation is model)
        build = spec.instantiate

        @functools.wraps(build)
        def instantiate(**values: Any) -> Any:
            try:
                return build(**values)
            except ValidationError as error:
                raise UserError(describe(error, group)) from None

        return StructConstructorSpec(instantiate, tuple(map(_in_words, spec.fields)))

    return registry


def _in_groups(model: type[BaseModel]) -> StructConstructorSpec:
    """Show the fields of each base class as a group in --help, without a prefix in the flags."""

    @functools.wraps(model, updated=())
    def join(**groups: BaseModel) -> BaseModel:
        return model(**{name: value for group in groups.values() for name, value in group})

    parts = {base.__name__.removesuffix("Settings").lower(): base for base in model.__bases__}
    fields = (
        StructFieldSpec(name, cast(Any, Annotated[base, OmitArgPrefixes]), MISSING_NONPROP)
        for name, base in parts.items()
    )
    return StructConstructorSpec(join, tuple(fields))


def _in_words(field: StructFieldSpec) -> StructFieldSpec:
    """Join the lines of a flag's help, and leave out a default that only its words describe."""
    text = field.helptext() if callable(field.helptext) else field.helptext
    kind: Any = field.type
    if field.default in (None, "") or FlagCreatePairsOff in get_args(kind):
        kind = Annotated[kind, arg(help_behavior_hint="")]
    elif isinstance(field.default, bool):
        hint = "(default: on)" if field.default else "(default: off)"
        kind = Annotated[kind, arg(help_behavior_hint=hint)]
    return replace(field, type=kind, helptext=text and " ".join(text.split()))


def _without_none(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
    """Read `T | None` as T: None is a flag that is not given. Choices keep their order."""
    options = [each for each in get_args(info.type) if each is not NoneType]
    if info.type_origin not in (Union, UnionType):
        return None
    if all(get_origin(each) is Literal for each in options):
        kind: Any = Literal[tuple(choice for each in options for choice in get_args(each))]
    elif NoneType in get_args(info.type):
        kind = functools.reduce(operator.or_, options)
    else:
        return None
    spec = ConstructorRegistry.get_primitive_spec(PrimitiveTypeInfo.make(kind, info.markers))
    if not isinstance(spec, PrimitiveConstructorSpec):
        return None
    return replace(
        spec,
        is_instance=lambda value: value is None or spec.is_instance(value),
        str_from_instance=lambda value: (
            ["none"] if value is None else spec.str_from_instance(value)
        ),
    )
