"""What a model answers: to test cases, to a person, or from a server."""
