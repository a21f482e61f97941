"""Addresses as they may be shown: a password in one is for nobody's eyes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from weakdis_core.errors import UserError

_DECODED = re.compile(r"\?|%[0-9A-Fa-f]{2}")
# As SQLAlchemy reads them: no slash in the name of the user.
_CREDENTIALS = re.compile(r"(?<=://)[^:/\s'\"]*(?::[^\s'\"]*)?@")
_SETTINGS = re.compile(
    r"(?<=[?&])(\w*(?:password|pwd|secret|key|token|odbc_connect)\w*)=[^&\s'\"]*", re.I
)


def without_password(text: str) -> str:
    """A text whose addresses have `***` for what stands before the @, and for secret settings."""
    return _SETTINGS.sub(r"\1=***", _CREDENTIALS.sub("***@", text))


def has_secret(address: str) -> bool:
    """Whether an address holds a password or a key, or `***` for it; that of a file never does."""
    found = _CREDENTIALS.search(address) or _SETTINGS.search(address)
    return scheme_of(address) != "sqlite" and found is not None


def scheme_of(address: str) -> str:
    """`postgresql` of `postgresql+psycopg://host/name`."""
    return address.partition(":")[0].partition("+")[0]


@contextmanager
def explain_errors(field: str, address: str) -> Iterator[None]:
    """Within it an error of a library that opens an address is a clear one.

    Raises:
        UserError: The address cannot be used.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        message = f"{field}: {address!r} cannot be used: {reason}"
        raise UserError(without_password(message)) from None


def check_database_path(field: str, path: Path) -> None:
    """Refuse a path that SQLAlchemy would read otherwise in an address, and MLflow quotes none.

    Raises:
        UserError: The path holds a `?`, or a `%` that would be decoded.
    """
    if _DECODED.search(str(path)):
        raise UserError(
            f"{field}: '{path}' is not allowed: in the address of a database '?' ends the path, "
            "and '%' with two hexadecimal digits is another character; start in another folder, or "
            "name one"
        )


def is_server(tracking: str) -> bool:
    """Whether an address of MLflow is of a server, which keeps its files, and not of a database."""
    return scheme_of(tracking) in ("http", "https", "databricks")
