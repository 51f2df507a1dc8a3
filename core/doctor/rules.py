"""Everything that the doctor looks for."""

from __future__ import annotations

from collections.abc import Mapping

from core.doctor import data_rules, gradient_rules, picture_rules, rate_rules, setting_rules
from core.doctor.rule import Rule

RULES: Mapping[str, Rule] = {
    rule.name: rule for rule in (*gradient_rules.RULES, *rate_rules.RULES, *data_rules.RULES, *picture_rules.RULES, *setting_rules.RULES)
}
"""Rules by name. `core.catalog.faults` has a small run for each of them in which it must be found, but those about files."""
