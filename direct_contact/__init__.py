"""Direct Contact: the stream's session machines, its gateway and its Python client."""
