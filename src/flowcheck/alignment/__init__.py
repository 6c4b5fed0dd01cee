"""Early alignment: Theorem 5.1 of both homogeneous papers.

reference    NCF flows to their ends, the moments of epsilon        shadow    w/delta and u side by side
study        one network, its cases, its references
"""
