"""API keys: made once, shown once, deleted."""
