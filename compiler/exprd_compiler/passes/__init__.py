"""Passes and pipelines: from a graph as built to a graph that is ready for code generation."""
