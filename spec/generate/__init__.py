"""The generator behind `spec/regen.py`: a model read from SystemRDL and three writers of it."""
