"""Processes that answer questions: `helper` is the pipe to one, `desk` keeps the newest question of each client, `work_desk` does long work."""
