"""Processes that answer questions: the pipe to one (`helper`), and the desk where only the newest question of each client waits (`desk`)."""
