"""Scores that need no judge: how sure a mean is, how well a probability tells, what is copied."""
