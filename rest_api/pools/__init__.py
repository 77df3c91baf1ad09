"""Pools: how many workers there should be, and how many there are."""
