"""Real mail clients, as Debian packages them, against a real server."""
