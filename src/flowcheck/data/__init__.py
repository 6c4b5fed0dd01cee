"""Data: inputs, labels, teachers.

synthetic    spheres, half-spaces, teachers
"""
