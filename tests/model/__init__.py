"""The model of the chord, and what it shows."""
