"""How long tests wait for what must happen before they fail: much longer than it ever takes."""

PATIENCE = 1200.0
"""Seconds. A test waits for an event: how soon it comes depends on the processor and its load."""
