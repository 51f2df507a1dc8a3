"""The server's end of questions that need torch (`lab`), and the desk where the cost of a plan waits for its answer (`cost_desk`)."""
