"""Lin, Sun and Zhang, Faster Directional Convergence of Linear Neural Networks under Spherically Symmetric Data.

bounds         the theorems' rates and constants       population    the loss over a spherically symmetric distribution
reduced_flow   the flow in angle and norm              descent       descent of the population loss
excess         exponents over those of bounds          descent_runs  runs of descent, a row each, and their readings
lemma_4        in the wrong half-space                 lemma_5       a condition for descent in angle
theorem_2      bounded steps                           remark_3      steps without a limit
lemma_12       norm and cosine after a step            equation_8    the cosine after any step
step_sums      sums of step sizes in Lemmas 4 and 5
"""
