"""Hosting sessions: attaching, batching, computing, answering, checkpointing, moving."""
