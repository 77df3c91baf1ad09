"""What is measured beside us: small servers, each written as one would by hand.

Each is a process that prints {"port": N} when it listens and runs until SIGTERM.
"""
