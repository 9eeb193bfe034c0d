"""What each table holds, as a function of the roster. Pure."""
