"""The history of the config folder: written ahead, read back, undone."""
