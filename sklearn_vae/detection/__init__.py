"""What VAEDetector is made of: statistics of a sample, densities, cross-fitted scores, places."""
