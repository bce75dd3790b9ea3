"""The family of JAX."""
