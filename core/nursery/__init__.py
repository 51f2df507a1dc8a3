"""The process that imports torch and the engine once, and forks workers and helpers (`process`).

The server's end of it is `core.machine.children`, which the web process may import: nothing here is.
"""
