"""Mixture priors over the latent codes, and factor values read from codes."""
