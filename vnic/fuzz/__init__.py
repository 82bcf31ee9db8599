"""Hostile programs for a card: their language, their world, how they are made, and what they reached."""
