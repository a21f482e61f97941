"""Standard streams that outlast their terminal and print in every encoding."""

import codecs
import contextlib
import errno
import io
import os
import sys
from pathlib import Path
from typing import Any, TextIO

_ASCII = {"±": "+/-", "†": "+", "‡": "++", "…": "..."}
_ERRORS = "weakdis-ascii"
_NOWHERE = Path(os.devnull)


def protect_streams() -> None:
    """Let nothing that this process prints end it.

    A closed pipe, a closed terminal or a full device costs what is printed from then on, and
    nothing else. Plain ASCII replaces characters that the encoding of a stream lacks.
    """
    codecs.register_error(_ERRORS, _in_ascii)
    # In this order: a file takes the lowest descriptor that is free.
    for name in ("stdin", "stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            # The process started with this descriptor closed; the next file would take it.
            stream = _NOWHERE.open("r+", encoding="utf-8")
            os.set_inheritable(stream.fileno(), True)
            setattr(sys, name, stream)
        elif name != "stdin" and stream is getattr(sys, f"__{name}__"):
            setattr(sys, name, _protected(stream))


def _protected(stream: TextIO) -> TextIO:
    with contextlib.suppress(OSError):
        stream.flush()
    raw = _Output(stream.fileno(), "w", closefd=False)
    return io.TextIOWrapper(
        io.BufferedWriter(raw), encoding=stream.encoding, errors=_ERRORS, line_buffering=True
    )


class _Output(io.FileIO):
    """Writes to a descriptor, and to nowhere once that fails."""

    def write(self, content: Any, /) -> int:
        try:
            return super().write(content)
        except OSError as error:
            # The descriptor itself: libraries and child processes write to it as well.
            with contextlib.suppress(OSError), _NOWHERE.open("wb") as nowhere:
                os.dup2(nowhere.fileno(), self.fileno())
            if error.errno != errno.EPIPE:
                lost = f"output cannot be written any more ({os.strerror(error.errno or 0)})\n"
                with contextlib.suppress(OSError):
                    os.write(2, lost.encode())
            return len(content)


def _in_ascii(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    lacking = error.object[error.start : error.end]
    return "".join(_ASCII.get(character, "?") for character in lacking), error.end
