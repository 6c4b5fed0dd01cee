"""Lin, Sun and Zhang, Faster Directional Convergence of Linear Neural Networks under Spherically Symmetric Data.

counterexamples  what violates statements as printed
bounds         the theorems' rates and constants       population    the loss over a spherically symmetric distribution
reduced_flow   the flow in angle and norm              descent       descent of the population loss
excess         exponents over those of bounds          descent_runs  runs of descent, a row each, and their readings
lemma_4        in the wrong half-space                 lemma_5       a condition for descent in angle
theorem_2      bounded steps                           remark_3      steps without a limit
lemma_12       norm and cosine after a step            equation_8    the cosine after any step
step_sums      sums of step sizes in Lemmas 4 and 5    sgd           descent on fresh samples
flow_table     reduced flows, a row each               phases        their growth before and after the turn T
theorem_1      lower bounds for N = 1                  theorem_3     lower and upper bounds for N > 2
lemma_1        the norm falls, then rises              lemma_8       bounds on the norm
proposition_2  progress along v                        proposition_4 a straight line for N = 2
reference_run  the start of the paper's figures        opposite_start  the angle that stays at π
full_weights   flows of full weight matrices           lemma_7       rates of angle and norm
broken_flows   such flows with a hypothesis broken     broken_statements  what statements say of them
broken_descent descent with a hypothesis broken        broken_data   the loss on data without the symmetry
pointwise      identities of the gradient at points    assumption_1  the symmetry of samples
proposition_1  Lipschitz, smooth, convex               proposition_3  the gradient along v
equation_14    the flow of the end-to-end vector
growth_map     where the norm grows: Figure 2          lemma_3       the signs of sampled growth
figure_curves  what Figure 1 shows                     figure_criteria  when it counts as reproduced
identities     the proofs' calculus, by algebra        growth_cap    the largest growth of the norm
lemma_10       one crossing of zero                    lemma_11      the scalar flow in closed form
"""
