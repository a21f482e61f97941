"""Addresses of databases and servers, and how to show them without passwords."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from weakdis_core.errors import UserError

_DECODED = re.compile(r"\?|%[0-9A-Fa-f]{2}")
# As SQLAlchemy reads them: the name of a user holds no slash.
_CREDENTIALS = re.compile(r"(?<=://)[^:/\s'\"]*(?::[^\s'\"]*)?@")
_SETTINGS = re.compile(
    r"(?<=[?&])(\w*(?:password|pwd|secret|key|token|odbc_connect)\w*)=[^&\s'\"]*", re.I
)


def without_password(text: str) -> str:
    """Replace the credentials and secret options of all addresses in a text by `***`."""
    return _SETTINGS.sub(r"\1=***", _CREDENTIALS.sub("***@", text))


def has_secret(address: str) -> bool:
    """Check whether an address, unless of a sqlite file, has credentials or secret options."""
    found = _CREDENTIALS.search(address) or _SETTINGS.search(address)
    return scheme_of(address) != "sqlite" and found is not None


def scheme_of(address: str) -> str:
    """Return the scheme of an address: `postgresql` for `postgresql+psycopg://host/name`."""
    return address.partition(":")[0].partition("+")[0]


@contextmanager
def explain_errors(field: str, address: str) -> Iterator[None]:
    """Turn the errors of libraries that open an address into one that names the setting.

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
    """Refuse a path that SQLAlchemy would decode, because MLflow does not quote paths.

    Raises:
        UserError: The path holds a `?`, or a `%` with two hexadecimal digits.
    """
    if _DECODED.search(str(path)):
        raise UserError(
            f"{field}: '{path}' is not allowed: in the address of a database '?' ends the path, "
            "and '%' with two hexadecimal digits is another character; start in another folder, or "
            "name one"
        )


def is_server(tracking: str) -> bool:
    """Check whether an address is that of an MLflow server, which stores files itself."""
    return scheme_of(tracking) in ("http", "https", "databricks")
