"""Pictures of trained models."""
