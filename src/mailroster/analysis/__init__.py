"""Pure questions: what is wrong, what a change does, everything about one address."""
