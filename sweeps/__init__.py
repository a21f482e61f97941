"""Searches: Ray Tune runs trials of the core, Optuna suggests, MLflow remembers."""

import os

# MLflow, Ray and Tune read these when they are imported or start.
_ENVIRONMENT = {
    # MLflow would report its use over the network.
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "RAY_USAGE_STATS_ENABLED": "0",
    # Under `uv run` Ray would start trials in an environment of their own, without Ray.
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    # Tune's newer progress output prints also at verbosity 0.
    "RAY_AIR_NEW_OUTPUT": "0",
    # The trial's own working folder would make relative paths of the user mean something else.
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    # The objective is missing until warmup ends.
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    # Results go to MLflow; CSV, JSON and TensorBoard files of the same would cost time and disk.
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    # Nothing reads Tune's snapshots: a sweep is resumed from its study. They grow with every trial.
    "TUNE_GLOBAL_CHECKPOINT_S": str(10**9),
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
}
for _name, _value in _ENVIRONMENT.items():
    os.environ.setdefault(_name, _value)
