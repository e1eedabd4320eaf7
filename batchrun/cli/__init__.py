"""One module for each command: parse, call, print. What they do is elsewhere."""
