"""Commands to a running session, answered by the worker that holds it."""
