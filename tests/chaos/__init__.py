"""Faults on real processes, in a seeded order, under streams that are checked answer by answer."""
