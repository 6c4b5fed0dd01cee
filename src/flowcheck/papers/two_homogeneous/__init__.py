"""Kumar and Haupt, Directional Convergence Near Small Initializations and Saddles of Two-Homogeneous Neural Networks.

bounds             explicit constants of the proofs           figure_criteria    when a figure counts as reproduced
kink_example       the kink u1 abs(u2), exactly                subdifferentials   Clarke's sets of separable nets
leaky_neuron       Lemma 5.4 for the leaky ReLU neuron         stable_sets        which KKT point an NCF flow ends in
"""
