"""The page of a sweep, and `docs/results.md`."""
