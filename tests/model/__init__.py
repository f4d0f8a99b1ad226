"""A model of the chord protocol, and its properties."""
