"""Keras on its three engines, and what trains with Keras's layers."""
