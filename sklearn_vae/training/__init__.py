"""Training: the skorch net around a lean loop, its callbacks, schedules and progress."""
