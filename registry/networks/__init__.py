"""Networks: what they are made of, and where their versions are kept."""
