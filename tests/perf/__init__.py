"""Benchmarks of the card beside named peers: python -m tests.perf."""
