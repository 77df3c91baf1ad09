"""Envelopes, offers, commands and checkpoints, version 1."""
