"""Mixture priors over the latent codes of each factor, and reading factor values from codes."""
