"""The state of a sweep and its trials, stored in the Optuna study."""
