"""Offloaded connections on a bench: block lists, a client that records, connections with their peer."""
