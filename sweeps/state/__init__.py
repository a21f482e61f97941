"""What a sweep is and what became of its trials, kept in the Optuna study."""
