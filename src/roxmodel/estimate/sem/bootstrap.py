"""The bootstrap of method "sem": every replicate refitted to convergence, many at once."""
from __future__ import annotations
def resample(model, found, inverse, options):
    raise NotImplementedError
def resample_categorical(*a): raise NotImplementedError
