"""The DNS records of a domain: which it needs, and what is wrong with those that it has. Pure."""
