"""Neuron Pursuit: a deep homogeneous network that grows by the neuron that correlates best with what is left to fit.

grown        a network with its weights, and one neuron more       candidates   the KKT points of all neurons that could be added
pursue       the algorithm                                         descent      of the grown network, which never ends in NaN
levenberg_marquardt   in place of descent                           checkpoint   where a run that was killed goes on
selection    one of several step sizes                             estimator    the same for scikit-learn
"""
