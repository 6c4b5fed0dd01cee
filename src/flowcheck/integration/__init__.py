"""Solvers that know no network.

runge_kutta    one step of a pair: stages, error, dense output
crossings      first roots in a step, pieces of a right-hand side
adaptive       batched, event-driven integration, kinks located
chebyshev      stabilised explicit steps for stiff flows
"""
