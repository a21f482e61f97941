"""The phases of a sweep: a line that runs while one lasts, and a line with its time at the end."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

from rich.console import Console
from rich.live import Live
from rich.text import Text

from sweeps.text import format_duration, label_line
from weakdis_core.cli.console import is_interactive, progress

# Seconds below which a phase found its result in the cache.
_INSTANT = 0.5


@dataclass
class Phase:
    """A running phase.

    Attributes:
        advance: Receives its progress as (done, total).
        result: What it brought, for the line at its end.
    """

    advance: Callable[[int, int], None]
    result: str = ""


@contextmanager
def phase(console: Console, name: str, doing: str, live: Live | None = None) -> Iterator[Phase]:
    """Show a phase of a sweep; without a terminal, as a line for its start and one for its end.

    Args:
        console: Where to print.
        name: Its name, of at most 12 characters.
        doing: What it does.
        live: Its view in a terminal; by default a bar.
    """
    started = time.monotonic()
    if not is_interactive(console):
        console.print(Text(label_line(name, f"{doing} ...")), soft_wrap=True)
    bar = nullcontext(lambda *_: None) if live else progress(label_line(name, doing))
    with live or nullcontext(), bar as advance:
        yield (shown := Phase(advance))
    seconds = time.monotonic() - started
    spent = "ready" if seconds < _INSTANT else format_duration(seconds)
    console.print(Text(label_line(name, f"{spent:>5}  {shown.result}".rstrip())), soft_wrap=True)
