"""The REST API: networks, sessions, commands, pools, workers and keys over HTTP."""
