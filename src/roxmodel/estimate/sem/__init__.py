"""Method "sem": latent variables by maximum likelihood and weighted least squares."""
