"""What a person asks for: `RunConfig`, the grammar of plans, what an entry of a catalogue is, and the one error that a person can mend.

The ground floor: it imports nothing of the project.
"""

from core.config.errors import ConfigError
from core.config.run_config import CLASS_WEIGHTS, DOUBLES, EXAMPLES, FAULTS, MEASURED, PRECISIONS, OptionValue, RunConfig

__all__ = ["CLASS_WEIGHTS", "DOUBLES", "EXAMPLES", "FAULTS", "MEASURED", "PRECISIONS", "ConfigError", "OptionValue", "RunConfig"]
