"""A helper that hangs at what it is asked: `python -m tests.lab.hanging`."""

import time

from core.helpers.helper import serve


def answer(question: object, _cancelled: object, _progress: object) -> object:
    """Sleep for ten minutes where that is asked for; else give the question back."""
    if question == "hang":
        time.sleep(600)
    return question


if __name__ == "__main__":
    serve(answer)
