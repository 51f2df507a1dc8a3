"""What every screen uses: words, services, places, scripts for browsers, and the draft of a run."""
