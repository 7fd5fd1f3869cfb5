"""Latent variables from rows and from units: one sample, one solution, one fit."""
