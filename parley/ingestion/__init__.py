"""Raw files to records: which files, how they are opened and told apart, rows and messages in order."""
