"""The stream, version 1."""
