"""Shared records: networks, sessions, keys and checkpoints over SQL, Redis and blobs."""
