"""One file for each use case: what a command, a web request and a daemon do alike."""
