"""Training: objectives, losses, the training loop and its checkpoints."""
