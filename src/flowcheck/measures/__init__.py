"""From arrays to measurements.

statistics    Clopper-Pearson, Student, common slopes       readings      extreme, median, fraction, count, rate
enclosure     rigorous maxima by interval arithmetic      refinement    errors as changes between two tolerances
table         runs, a row each, with their errors
"""
