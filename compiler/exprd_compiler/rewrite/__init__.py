"""Rewriting of graphs: interning, patterns, rules and the engine that applies them."""
