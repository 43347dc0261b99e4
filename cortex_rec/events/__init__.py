"""Live events: what shoppers do between two releases, kept and taken into account."""
