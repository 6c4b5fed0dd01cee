"""The NCF and the loss, moving.

rescaled    states, paths, the problem in rescaled time      events    what ends a flow
flow        gradient_flow, blow_up_time        ending    grows, vanishes or rests
sliding     solutions that slide along kinks
two_layer_unit    one two-layer unit in closed form          stabilised    the loss flow by Chebyshev steps
"""
