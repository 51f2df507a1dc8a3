"""One run on the Train screen: its charts, what steers it, what was found, and what came out."""
