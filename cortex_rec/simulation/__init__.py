"""Shoppers as the shop's own history tells them: to try an experiment before real people are part of it."""
