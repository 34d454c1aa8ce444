"""What a bad row is, what says nearly the same, and which conversation is held out."""
