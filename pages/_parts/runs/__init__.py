"""The Runs screen: the queue, what has ended, the bin, and what all of it takes on disk."""
