"""Lin, Sun and Zhang, Faster Directional Convergence of Linear Neural Networks under Spherically Symmetric Data.

bounds         the theorems' rates and constants       population    the loss over a spherically symmetric distribution
reduced_flow   the flow in angle and norm              descent       descent of the population loss
step_sums      sums of step sizes in Lemmas 4 and 5
"""
