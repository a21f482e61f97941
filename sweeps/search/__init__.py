"""The search space, and how Optuna and Ray Tune run its trials."""
