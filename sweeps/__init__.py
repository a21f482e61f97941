"""Searches: Ray Tune runs trials of the core, Optuna suggests, MLflow remembers."""
