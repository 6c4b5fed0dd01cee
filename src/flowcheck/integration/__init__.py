"""Solvers that know no network.

runge_kutta    one step of a pair: stages, error, dense output
dense_output   the solution between the steps of a run that is over
crossings      first roots in a step, pieces of a right-hand side
adaptive       batched, event-driven integration, kinks located
initial_value  one state at a time, by scipy
chebyshev      stabilised explicit steps for stiff flows
discrepancy    how far Euler strays from the solution
"""
