"""Explicit bounds of the papers, one module per paper."""
