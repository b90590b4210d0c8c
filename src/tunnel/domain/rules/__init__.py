"""Which rule a request falls under: rules, the normal forms of hosts and paths, and the compiled engine."""

from __future__ import annotations

from tunnel.domain.rules.engine import RulesEngine
from tunnel.domain.rules.rule import Rule, ValueMatch
from tunnel.domain.rules.validation import validate_rule

__all__ = ["Rule", "RulesEngine", "ValueMatch", "validate_rule"]
