"""Chainer, a retired framework on NumPy."""
