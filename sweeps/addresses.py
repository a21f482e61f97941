"""Addresses as they may be shown: a password in one is for nobody's eyes."""

from __future__ import annotations

import re

_CREDENTIALS = re.compile(r"(?<=://)[^/\s]*@")


def without_password(text: str) -> str:
    """A text with what stands before the @ of every address in it replaced by `***`."""
    return _CREDENTIALS.sub("***@", text)
