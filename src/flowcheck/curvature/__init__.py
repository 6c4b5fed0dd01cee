"""Second derivatives of a loss.

dense             the whole matrix, for many points at once
hessian_products  the matrix times a vector, with the graph kept for a point
module_loss       the loss of a torch module as a function of its flat weights
certificate       how far a run of descent is from the flow, by a tube around it
lanczos           both ends of the spectrum from such products, and how far they may be off
"""
