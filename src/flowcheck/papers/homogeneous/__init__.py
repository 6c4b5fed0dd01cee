"""What both homogeneous papers say about the NCF and its flow.

kinds, families, trajectories, exact_trajectories, later   what is drawn, and followed
ncf_lemmas, ncf_table, ncf_experiment         what is said, of all runs, and the experiment that asks it
no_gradient                                   what is read where a hypothesis fails
kkt_search, kkt_limits                        KKT points of a family, and where flows end
early_alignment, theorem_5_1                  w/delta beside the NCF flow; both statements of the theorem
deviation_rate, escapes                       how far w/delta is from it, and until when
hypotheses                                    what every statement presupposes
near_saddles                                  the same for saddles, and the KKT point that w_z turns to
gronwall                                      Gronwall's inequality, on random cases
"""
