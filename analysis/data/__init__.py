"""Runs as a frame, from MLflow and the archive."""
