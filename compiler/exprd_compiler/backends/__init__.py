"""Executors of plans, one package per code generator."""
