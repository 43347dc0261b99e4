"""What has changed since a release learned: a day's purchases, answers and requests beside those of the weeks before."""
