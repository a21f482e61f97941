"""Modular Representations for Weak Disentanglement (Valenti & Bacciu, 2022) in plain PyTorch."""
