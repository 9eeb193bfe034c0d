"""A writable config folder that follows a read-only source and keeps local edits."""
