"""Theano 1.0.5, the last release, of 2020: a step is one compiled function over shared data."""
