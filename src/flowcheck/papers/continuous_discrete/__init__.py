"""Elkabetz and Cohen, Continuous vs. Discrete Optimization of Deep Neural Networks.

reparameterised_flow  the flow of Section 5, exactly      deep_linear_bounds  constants of Section 5
appendix_i12          the lemmas behind Proposition 14    end_to_end_flow     flows of all weights
procedure_13          balanced starts                     near_the_flow       Hessians near the flow
descent_proofs        Theorems 15 and 32, line by line    reduced_descent     descent in three numbers
theorem_15            its conclusion, Corollary 18        unbalanced          nearly balanced starts

theorem_1             existence and uniqueness            theorem_2           the Fundamental Theorem
theorem_3             the step size of Eq. (7)            beside_the_flow     descent beside a known flow
enclosed_network      the same by interval arithmetic     corollary_4         steps from global constants
lemma_19              flows that exist for all times

certified_networks    bounds of third derivatives         certified_runs      tubes around flows, against flows
calibrated_gap        ReLU networks: two runs of descent  certified_step      Eq. (7) along runs on digits

training_loss         its Hessian by formula              curvature_bounds    bounds of the smallest eigenvalue
unbounded_below       where there is none                 proposition_26      regions with fixed slopes
hessians              all of it over a table of networks

published_curves      Figures 1 and 3 as published        step_studies        a network, its draws and step sizes, broken runs
flow_bounds           bounds along flows from near zero   curvature_flows     such flows, and the spectrum on their way
balance_laws          what they conserve                  along_flows         Propositions 8, 12 and 24
rough_convexity       rescaled and random points          curvature_on_digits the spectrum along descent on digits
mnist_networks        networks of Figures 1 and 3         step_comparison     runs that differ in their step size
figure_1              fully connected networks            drift_readings      drift against distance
figure_3              convolutional networks

worst_case            the objective of Appendix B         worst_case_paths    flow and descent on it, in closed form
worst_case_runs       pairs of a flow and a descent       figure_2            its two functions
proposition_20        how far descent stays from the flow appendix_i14        the lemmas of the proof
"""
