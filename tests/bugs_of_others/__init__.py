"""Bugs that other models of cards and offload engines shipped, by their public names: ours has none."""
