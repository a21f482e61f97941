"""Reading the tracked runs: tables with their uncertainty, beside the published numbers."""
