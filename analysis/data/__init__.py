"""Runs as a frame: read from MLflow and from the archive, and selected."""
