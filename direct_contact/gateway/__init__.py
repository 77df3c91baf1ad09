"""The WSS endpoint: redeems tickets, runs the session protocol, routes frames to workers."""
