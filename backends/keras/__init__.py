"""Keras on its three engines, and native TensorFlow, which trains with Keras's layers."""
