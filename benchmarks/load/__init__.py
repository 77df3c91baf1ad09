"""The load generator: a process of its own that speaks to whatever is measured."""
