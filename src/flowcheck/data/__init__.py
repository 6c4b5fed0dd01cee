"""Data: inputs, labels, teachers; digits.

synthetic    spheres, half-spaces, teachers
mnist        handwritten digits, chosen and normalised
mnist_files  where they come from: a folder, a mirror, or a surrogate
idx          the format of their files
"""
