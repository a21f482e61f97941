"""Scores of a trained model on test."""
