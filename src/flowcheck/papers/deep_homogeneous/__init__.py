"""Kumar and Haupt, Early Directional Convergence in Deep Homogeneous Neural Networks for Small Initializations.

bounds             explicit constants of the proofs           figure_criteria    when a figure counts as reproduced
gronwall           Gronwall's inequality and comparisons       euler_identities   Euler's identities of homogeneous functions
power_saddles      saddles of power units, exactly             broken_hypotheses  what happens without a hypothesis
rescaling          the unscaled flow and descent              escape_alignment   alignment where the loss starts to fall
"""
