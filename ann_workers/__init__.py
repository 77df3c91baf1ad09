"""The ANN workers: they own sessions, batch across them, compute, and write checkpoints."""
