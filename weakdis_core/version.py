"""The version of the numbers that the core computes. Every stored score has it."""

CODE_VERSION: int = 3
"""Raise this number by hand when a change to the core changes its numbers. Tables ignore scores of
other versions.

A new default of a setting counts as such a change, because `Config.hash` leaves defaults out. Other
values do not. `tests/core/test_version.py` compares losses and accuracies of a few steps: if it
fails after an intended change, raise the version and update its numbers; otherwise fix the bug.
"""

VERSION: str = f"{CODE_VERSION}.0.0"
"""The version of the package, which `pyproject.toml` reads from here. Its first number is the core
version whose numbers it reproduces."""
