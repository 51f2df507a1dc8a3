"""The job of the small nursery: says what it has become, or does what its argument asks for."""

from __future__ import annotations

import atexit
import json
import os
import random
import signal
import sys
import threading
import time
from pathlib import Path


def main() -> int:
    """Exit status 0, or the number that was asked for."""
    match sys.argv[1:]:
        case ["status", number]:
            return int(number)
        case ["raise"]:
            raise RuntimeError("as it was asked to")
        case ["sleep"]:
            time.sleep(600)
        case ["end"]:
            atexit.register(lambda: sys.stderr.write("at exit\n"))
            threading.Timer(0.2, lambda: sys.stderr.write("thread done\n")).start()
        case _:
            print(json.dumps(_about()))
            for line in sys.stdin:
                print(f"heard {line.strip()}", flush=True)
    return 0


def _about() -> dict[str, object]:
    import numpy as np

    return {
        "arguments": sys.argv,
        "environment": dict(os.environ),
        "directory": str(Path.cwd()),
        "session": os.getsid(0) == os.getpid(),
        "threads": threading.active_count(),
        "descriptors": sorted({str(name.readlink()) for name in Path("/proc/self/fd").iterdir() if name.is_symlink()}),
        "draws": [random.random(), float(np.random.random())],
        "interrupt": signal.getsignal(signal.SIGINT) is signal.default_int_handler,
    }
