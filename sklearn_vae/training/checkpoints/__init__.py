"""Checkpoints of a fit: the file, the state in it, and what the fit is known again by."""
