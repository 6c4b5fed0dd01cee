"""Kumar and Haupt, Learning Neural Networks by Neuron Pursuit.

kkt_table      networks, data and the KKT points that ascents find  lemma_3   in- and outgoing norms at KKT points
lemma_9        the same for added neurons, separability             lemma_6   flows from scaled starts
lemma_8        what added neurons change, to which order            lemma_14  gradients of homogeneous functions (15 too)
decomposition  the same as polynomials, exactly
summands       functions with flows of their own                    lemma_10  which grow first, degree two
lemma_11       which blow up first, and when                       lemma_17  gradients near minima, from above
lemma_18       integrals of Taylor's formula                       counterexamples  to printed statements
diagonal       diagonal networks, orthogonal matching pursuit      lemma_21  descent of one diagonal neuron
figure_5       pursuit on the cube, stage by stage
lemma_4        the path on which flows leave the origin (5 too)
modular_addition  Figures 9 and 11
"""
