"""Seeded faults: what a driver developer could get wrong, and whether the tests of its invariant notice."""
