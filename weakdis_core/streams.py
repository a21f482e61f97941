"""Standard streams that survive a closed terminal and print in every encoding."""

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
    """Make printing never fail.

    After a closed pipe, a closed terminal or a full device, output is discarded. Characters that
    the encoding of a stream lacks are replaced by ASCII.
    """
    codecs.register_error(_ERRORS, _in_ascii)
    # The order matters: an opened file takes the lowest free descriptor.
    for name in ("stdin", "stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            # The process started with this descriptor closed; occupy it before another file does.
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
    """Writes to a descriptor, and discards output after the first error."""

    def write(self, content: Any, /) -> int:
        try:
            return super().write(content)
        except OSError as error:
            # Redirect the descriptor itself, since libraries and child processes also write to it.
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
