"""The second stage: candidates put in order."""
