"""The other models of the paper's tables, behind the same Trainer."""
