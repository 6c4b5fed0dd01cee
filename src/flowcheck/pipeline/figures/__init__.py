"""Figures and notebooks.

plotting    theme, colours, shared panels, reproducible files
inspection  what a reader would object to, found when a figure is saved
contact_sheet  all figures of a scale on one page
faults         what is wrong with figures that were kept all the same
notebook    executing a notebook             display    what a notebook shows: figures, metrics, verdicts
"""
