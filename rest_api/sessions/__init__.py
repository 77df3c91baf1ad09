"""Sessions: opened with a ticket for the stream, configured, ended."""
