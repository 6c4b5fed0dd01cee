"""Kumar and Haupt, Directional Convergence Near Small Initializations and Saddles of Two-Homogeneous Neural Networks.

bounds             explicit constants of the proofs           figure_criteria    when a figure counts as reproduced
subdifferentials   Clarke's sets of separable nets            stable_sets        which KKT point an NCF flow ends in
leaky_neuron       Lemma 5.4 for the leaky ReLU neuron

kink_example       the kink u1 abs(u2), exactly               figure_2           its gradient field
lemma_e            all its solutions (E.1, E.2)               definition_4_1     when a start does not branch
lemma_c_1          continuity in the multipliers              lemma_i            the way out of its squared error (I.1, I.2)
equation_15        the one-sided condition                    lemma_j_1          the velocity of a limit
"""
