"""What becomes of an existing docker-mailserver: looked at before anything is started. Nothing here
changes a file."""
