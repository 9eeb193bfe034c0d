"""A config folder that is merged from a read-only source and local changes."""
