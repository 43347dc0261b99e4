"""What a language model finds in items' words: further columns of the items table. Off unless the configuration has `enrichment`."""
