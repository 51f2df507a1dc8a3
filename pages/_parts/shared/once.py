"""A click that does what it does once, however often it arrives.

On a busy machine Streamlit plays a click back: a callback that a newer request ended half-way runs again from its start, and so may one that
had done its work (most of those came from the clocks of fragments: `clicks.py`). What is asked for in absolute terms bears that; half the
learning rate, one step back and a new run do not.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Click:
    """The click of a button as it is drawn now: hand a new one to the callback with each drawing.

    The callback writes down in `made` what came of the click, in the same breath as doing it: without a look at the session in between, where
    Streamlit may end it. A click of which something came already is the same one again, whatever the button would do by now.
    """

    made: str = ""
