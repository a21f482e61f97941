"""Trained models applied to pictures: from a file, from the registry, and as MLflow serves them."""
