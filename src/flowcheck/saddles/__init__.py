"""Flows near saddles: Section 5.2 of both homogeneous papers.

units        sums of units with exact difference quotients    saddle       critical points, Newton's method
departure    flows that leave a saddle                        constants    growth and reach of the proofs
inward_ball  a ball in which the loss falls towards a saddle, proved
"""
