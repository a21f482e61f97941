"""Addresses of databases and servers: what is allowed, and how to show them without passwords."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from weakdis_core.errors import UserError

_STORAGE_SCHEMES = ("s3", "gs", "gcs", "abfs", "abfss", "hdfs")
_TRACKING_SCHEMES = ("sqlite", "postgresql", "mysql", "mssql", "http", "https", "databricks")
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


def check_tracking(address: str) -> None:
    """Check that an address is one of an MLflow store.

    Raises:
        UserError: It is of another kind, or the folder of its file does not exist.
    """
    scheme = scheme_of(address)
    if "://" not in address or scheme not in _TRACKING_SCHEMES:
        raise UserError(
            f"tracking_uri: {without_password(address)!r} is not allowed: a database or server "
            "such as sqlite:///mlflow.db, postgresql://... or http://... is needed"
        )
    database = Path(address.partition(":///")[2] if scheme == "sqlite" else "")
    if not database.parent.is_dir():
        # MLflow would create the folder.
        raise UserError(
            f"tracking_uri: {address!r} is not allowed: there is no folder {database.parent}"
        )
    check_database_path("tracking_uri", database)


def check_remote(storage: str, study: str | None, tracking: str) -> None:
    """Check that the study and MLflow's files outlive this machine, as the checkpoints do.

    Raises:
        UserError: One of the three addresses is not allowed.
    """
    if scheme_of(storage) not in _STORAGE_SCHEMES:
        known = ", ".join(f"{scheme}://" for scheme in _STORAGE_SCHEMES)
        raise UserError(f"storage: {storage!r} is not allowed: a folder is needed, or {known}")
    shown = without_password(storage)
    if shown != storage:
        raise UserError(f"storage: {shown!r} is not allowed: keys belong in the environment")
    if study is None or "://" not in study or scheme_of(study) == "sqlite":
        local = "is not allowed with a storage elsewhere: it would be lost with this machine"
        raise UserError(
            f"optuna_storage: {study or 'study.db of the folder'} {local}; "
            "a database such as postgresql://... is needed"
        )
    if not is_server(tracking):
        # Other machines reach a database such as PostgreSQL, but MLflow's files are on this one.
        raise UserError(
            f"tracking_uri: {without_password(tracking)!r} is not allowed with a storage "
            "elsewhere: MLflow's files would be lost with this machine; http://... of a "
            "server is needed"
        )
