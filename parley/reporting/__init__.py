"""What a page says and draws: facts of the data, wording, curves, cases side by side."""
