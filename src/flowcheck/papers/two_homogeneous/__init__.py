"""Kumar and Haupt, Directional Convergence Near Small Initializations and Saddles of Two-Homogeneous Neural Networks.

counterexamples    what violates statements as printed
bounds             explicit constants of the proofs           example_networks   the classes of Section 2, one neuron
stable_sets        which KKT point an NCF flow ends in        lemma_a_3          chain rule and energy on kinks
landscape          of one neuron in space                     stable_set_maps    every direction's limit, on circle and sphere
stable_set_boundaries   between them, by section              stable_set_alignment   the loss flow against the map
stable_set_topology     counts of critical points

alignment_cases    on what Section 5.1 is checked             theorem_5_1        w aligns near the origin, or shrinks
lemma_5_2          bounds on the way there                    corollary_5_4_1    block by block
section_5_3        degrees above two do not turn              escape_time        grows with ln(1/delta)
alignment_controls Section 5.1 with one thing wrong

toy_problem        what Figures 1, 3 and 4 train on           figure_runs        descent for them, and its rounding
figure_criteria    when a run does what a caption says        figure_readings    what is read from many runs
figure_curves      what the figures draw

kink_example       the kink u1 abs(u2), exactly               figure_2           its gradient field
lemma_e            all its solutions (E.1, E.2)               definition_4_1     when a start does not branch
lemma_c_1          continuity in the multipliers              lemma_i            the way out of its squared error (I.1, I.2)
equation_15        the one-sided condition                    lemma_j_1          the velocity of a limit

neuron_points      KKT points of one neuron, on kinks too     lemma_5_4          its non-branching sets
lemma_b_1          homogeneity of subdifferentials (C.2)      lemma_a            definability, chain rule (A.1, A.2)
lemma_c_5          KKT points and subdifferentials            lemma_c_6          the normalised NCF
lemma_h_1          balance of two layers                      example_g_1        a quadratic form
example_g_2        a bilinear form

saddle_systems     six saddles                                theorem_5_5        near them w_n stays and w_z aligns
kinked_saddle      the one on a kink, and its flows
lemma_d_1          how fast flows leave                       lemma_5_6          w_n is critical for its own loss
unheld_points      points that hold nothing
"""
