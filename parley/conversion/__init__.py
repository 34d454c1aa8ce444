"""Records to conversations: what is speech, who answers whom, what identifies people and leaves the text."""
