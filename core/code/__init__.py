"""The same run as a plain PyTorch script: what a person would write by hand. Pure text, no torch.

The script trains the same model on the same data with the same settings. Splits, order and random changes are drawn by other generators, so
its numbers come out close to the run's, not equal; what is frozen, and what learns at which rate, is equal.
"""

from core.code.networks import class_name, network_code
from core.code.phases import Phase, phases
from core.code.script import loading_code, pytorch_code

__all__ = ["Phase", "class_name", "loading_code", "network_code", "phases", "pytorch_code"]
