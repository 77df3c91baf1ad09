"""A worker with a stream endpoint of its own: two services in one process."""
