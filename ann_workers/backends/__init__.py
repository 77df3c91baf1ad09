"""Backends: ways to compute, behind one port."""
