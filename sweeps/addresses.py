"""Addresses as they may be shown: a password in one is for nobody's eyes."""

from __future__ import annotations

import re

_CREDENTIALS = re.compile(r"(?<=://)[^\s'\"]*@")
_SETTINGS = re.compile(r"(?<=[?&])(\w*(?:password|secret|key|token)\w*)=[^&\s'\"]*", re.I)


def without_password(text: str) -> str:
    """A text whose addresses have `***` for what stands before the @, and for secret settings."""
    return _SETTINGS.sub(r"\1=***", _CREDENTIALS.sub("***@", text))


def scheme_of(address: str) -> str:
    """`postgresql` of `postgresql+psycopg://host/name`."""
    return address.partition(":")[0].partition("+")[0]


def is_server(tracking: str) -> bool:
    """Whether an address of MLflow is of a server, which keeps its files, and not of a database."""
    return scheme_of(tracking) in ("http", "https", "databricks")
