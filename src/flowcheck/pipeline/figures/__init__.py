"""Figures and notebooks.

plotting    theme, colours, shared panels, reproducible files
notebook    executing a notebook             display    what a notebook shows: figures, metrics, verdicts
"""
