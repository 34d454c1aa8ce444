"""The terms of three recipes: the agent's tool calls, the trigger, what an end-of-turn detector reads."""
