"""Random mutants of the C core: a seeded sample of small changes, and whether any test notices."""
