"""Frames as bytes: the references the C kernels are held against, packet builders and capture files."""
