"""The neural correlation function, standing still.

ncf       value, gradient, KKT residual            ascent    maximising it on the sphere
clarke    subdifferentials at kinks                planar    one squared-ReLU neuron in the plane, exactly
"""
