"""What comes in: containers, ranges, layouts, labels, and batches of them."""
