"""The doctor: what is going wrong with a run, in plain words, while it goes on and when it is over. No torch.

`Signs` collects what the recorder sees, each `Rule` looks at it and says what it sees, `Doctor` opens and closes findings.
"""

from core.doctor.doctor import Doctor
from core.doctor.rule import Rule, Sign
from core.doctor.rules import RULES
from core.doctor.signs import Facts, Signs

__all__ = ["RULES", "Doctor", "Facts", "Rule", "Sign", "Signs"]
