"""Searches: Ray Tune runs trials of the core, Optuna suggests, MLflow remembers."""

import os

# Before MLflow is imported, which would report its use over the network.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
