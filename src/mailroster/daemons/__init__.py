"""The processes that keep running: `up`, `watch`, and the policy service."""
