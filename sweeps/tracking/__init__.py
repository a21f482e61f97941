"""What MLflow receives of a sweep, through an outbox that survives outages."""
