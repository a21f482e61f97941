"""The other rows of the paper's tables, behind the same Trainer as the modular model."""
