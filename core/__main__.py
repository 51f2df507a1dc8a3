"""`python -m core`."""

from core.commands.cli import main
from core.machine.leaving import leave

if __name__ == "__main__":
    leave(main())
