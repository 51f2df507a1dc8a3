"""`python -m core.worker`, as a server started before November 2026 asks for a worker: it shall not get one of another version."""

import sys

if __name__ == "__main__":
    sys.exit("This server was started before Thaw was updated, so it cannot start runs any more. Stop it, and start it again with make run.")
