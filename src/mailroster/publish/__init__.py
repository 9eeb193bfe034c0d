"""Makes the lookup tables agree with the config folder."""
