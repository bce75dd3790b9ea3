"""MXNet (retired): Gluon's blocks, autograd and trainer."""
