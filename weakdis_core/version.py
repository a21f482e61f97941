"""The version of what the core computes, written beside every stored score."""

CODE_VERSION: int = 2
"""Raised by hand when a change to the core changes its numbers: scores of another version are
stale, and are neither shown nor averaged with the present ones.

Values of settings are not meant (the hash of a `Config` tells them apart), but a setting's default
is, since defaults do not count in the hash. A faster way to the same numbers is no change.
`tests/core/test_version.py` holds losses and accuracies of a few steps: where it fails and
the change was meant, raise this number and put the new values there; where it was not, the change
is a bug.
"""
