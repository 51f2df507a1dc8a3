"""The same run as a plain PyTorch script, which needs nothing of Thaw. Pure text, no torch.

A script is made from a config and from what a run of it has recorded (`Recorded`). What it does with pictures, splits and chance are the
engine's own lines (`excerpts`), so it ends with the weights of the run, bit for bit; where it cannot, `differences` says so, on the screen
and in the script.
"""

from core.code.differences import about, about_run
from core.code.networks import class_name, network_code
from core.code.phases import Phase, phases
from core.code.recorded import Recorded, recorded, repeated
from core.code.script import loading_code, pytorch_code

__all__ = ["Phase", "Recorded", "about", "about_run", "class_name", "loading_code", "network_code", "phases", "pytorch_code", "recorded", "repeated"]
