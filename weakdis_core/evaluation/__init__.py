"""Relation accuracies of a model during training, and the oracle that judges pixels."""
