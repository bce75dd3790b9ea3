"""Caffe: nets and solvers in an old Python, driven by `backends.far`."""
