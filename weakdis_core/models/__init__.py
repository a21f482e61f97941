"""The three networks: modular autoencoder, discriminator, relational learner."""
