"""Compares the nodes of a cluster: which one is slow, which one computes wrongly."""
