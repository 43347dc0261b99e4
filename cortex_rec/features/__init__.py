"""What the ranker reads of a user, an item, their pair and the moment."""
