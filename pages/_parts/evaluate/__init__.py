"""The Evaluate screen, a file for each of its parts."""
