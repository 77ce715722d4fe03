"""What takes a training beyond one process: several of them, caches, and checkpoints of a fit."""
