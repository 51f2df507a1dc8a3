"""The Home screen, a file for each of its parts."""
