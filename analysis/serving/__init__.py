"""Trained models applied to pictures: found by address, and served by MLflow."""
