"""Workers: who computes now."""
