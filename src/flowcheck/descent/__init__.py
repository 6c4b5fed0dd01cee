"""Gradient descent.

gradient_descent    batches of runs, crossings of the loss          native                blocks of steps in C
classifier          fully connected classifiers, either precision   dense_code            their steps in C
convolutional       convolutional classifiers, likewise             convolutional_code    their steps in C
regression          one feed-forward regression network             vector_code           what steps in C have in common
compiler            the C compiler of this machine                  input_span            inputs in a basis of their span
"""
