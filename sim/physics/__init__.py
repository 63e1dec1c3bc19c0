"""The simulated machine: models of what the kernel and the engine do."""
