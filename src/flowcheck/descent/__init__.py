"""Gradient descent.

gradient_descent    batches of runs, crossings of the loss          native           blocks of steps in C
classifier          fully connected classifiers, either precision   dense_code       their steps in C
convolutional       convolutional classifiers, likewise             input_span       inputs in a basis of their span
compiler            the C compiler of this machine
"""
