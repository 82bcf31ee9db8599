"""A trace as one HTML page: what happened when, to which registers, queues and TCP connections."""
