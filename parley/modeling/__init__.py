"""Base models: found, loaded, told apart by family, measured from their config."""
