"""The files of the config folder, a module each: its grammar, one real line, its limits."""
