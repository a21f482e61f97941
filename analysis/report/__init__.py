"""The report of a sweep, and docs/results.md."""
