"""A family whose framework misbehaves as the variable TORTURE says; see `adapter`."""
