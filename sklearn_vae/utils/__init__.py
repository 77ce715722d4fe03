"""What belongs to no room: counts, memory, random generators, nested parameters."""
