"""Gradient descent.

gradient_descent    batches of runs, crossings of the loss          native    blocks of steps in C
"""
