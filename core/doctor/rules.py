"""Everything that the doctor looks for."""

from __future__ import annotations

from collections.abc import Mapping

from core.doctor import data_rules, gradient_rules, loss_rules, picture_rules, rate_rules, setting_rules
from core.doctor.rule import Rule

_FILES = (gradient_rules, loss_rules, rate_rules, data_rules, picture_rules, setting_rules)

RULES: Mapping[str, Rule] = {rule.name: rule for file in _FILES for rule in file.RULES}
"""Rules by name. `core.catalog.faults` has a small run for each of them in which it must be found, but those about files."""
