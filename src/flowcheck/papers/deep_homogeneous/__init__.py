"""Kumar and Haupt, Early Directional Convergence in Deep Homogeneous Neural Networks for Small Initializations.

counterexamples    what violates statements as printed
bounds             explicit constants of the proofs           figure_recipes     what is printed for Figures 1 to 5
gronwall           Gronwall's inequality and comparisons       euler_identities   Euler's identities of homogeneous functions
power_saddles      saddles of power units, exactly             broken_hypotheses  what happens without a hypothesis
lemma_5_2          when and how NCF flows blow up             lemma_d_1          flows of degree two, which do not
rescaling          the unscaled flow and descent              escape_alignment   alignment where the loss starts to fall
alignment_cases    on what Section 5.1 is checked             theorem_5_1        small initialisations align first
equation_45        a sufficient delta, Gronwall's bound       equation_52        the change of the residual
escape_time        the escape and the blow-up                 starting_gradient  the gradient at the start
alignment_controls Section 5.1 with one thing wrong
figure_draws       teachers, points and starts                figure_anatomy     what the figures show of weights
figure_criteria    when a figure counts as reproduced         figure_seeds       many draws, trained to their escapes
displayed_run      the run that is displayed                  plateau            its end, by the flow and by descent
loss_normalisation which loss the figures have                scale_trend        what a smaller start changes
theorem_5_3        near a saddle w_n stays and w_z aligns     saddle_rates       how distances and escapes scale with delta
lemma_5_4          what Eq. (15) means                        equation_65        a sufficient delta
equation_66        the flow, block by block                   equation_72        distance from the NCF flow
"""
