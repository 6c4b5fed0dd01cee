"""Homogeneous networks: what they are, and what theorems presuppose of them.

activation    max(x, a x)^p                        network    the contract: forward, forward and pull, bounds
feed_forward  layers, back-propagation             sums       separable sums, mixtures, rotations
zoo           the papers' named nets               linear     deep linear nets as lists of layers
anatomy       alignment of rows, invariants        hypotheses degree, signal, scale, stationarity
problem       whether data and loss fit            tied       layers with tied weights, convolutions
leading_term  what small added neurons add, to leading order
"""
