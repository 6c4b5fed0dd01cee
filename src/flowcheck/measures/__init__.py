"""From arrays to measurements.

statistics    Clopper-Pearson, Student, common slopes       readings    extremes and rates of many runs
enclosure     rigorous maxima by interval arithmetic
"""
