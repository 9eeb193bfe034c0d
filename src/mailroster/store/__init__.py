"""The config folder: locked, read, changed all or nothing, with its history and its overlay."""
