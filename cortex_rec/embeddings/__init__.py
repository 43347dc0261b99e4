"""Items as vectors of what they say."""
