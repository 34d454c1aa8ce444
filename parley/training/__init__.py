"""Training and merging: settings, the loop, checkpoints, several processes, what is written down."""
