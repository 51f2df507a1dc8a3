"""What is going wrong with a run, in plain words, while it goes on and when it is over. No torch.

`Signs` collects what the recorder sees, each `Rule` looks at it and says what it sees, `Doctor` opens and closes findings. It looks at
fixed steps, not when rows are written: the same run gives the same findings (all but those from clock times). Each rule has its own
hysteresis; a finding that another one explains is left out; a rule that fails is left out and never ends a run. All of it takes at most 15
% of the watching budget.
"""

from core.doctor.doctor import Doctor
from core.doctor.rule import Rule, Sign
from core.doctor.rules import RULES
from core.doctor.signs import Facts, Signs

__all__ = ["RULES", "Doctor", "Facts", "Rule", "Sign", "Signs"]
