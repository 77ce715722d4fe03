"""One training on several processes: a group that is joined, or workers that are started."""
