"""A config file as a value: its lines, their entries, and what differs between two states."""
