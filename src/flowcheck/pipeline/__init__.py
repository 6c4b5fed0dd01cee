"""The machinery: configuration, evidence, judge, ledger; it knows no network and no flow.

names, settings, schema, strict_yaml, project   what is to be run, read and validated
parameters                               whether the scripts take them
prose, memory                            whether every formula can be shown; what was found valid before
surroundings                             what a run needs of the place it runs in
digest, stamp, stations                  the code an experiment runs; all that a cell, evidence and what follows depend on
origin, data_sets                        data that experiments read: what they are; found, verified and kept
plan                                     what makes a job run again whose outputs are not whole
seal                                     files that carry the digest of their content
limit                                    the time that a job may take
evidence, experiment                     what a run leaves; the command line of a script
results                                  how each result of a paper stands; all counts
counterexample                           the input that violates a printed statement, recomputed
seeds                                    the verdicts under other root seeds
recorded                                 the verdicts that are expected
freshness                                what a verdict is to a run of other papers: kept, stale or missing
claims, judge, ledger                    claim and evidence in, verdict out; all verdicts
verify                                   finished results against digests, evidence and checkout
targets                                  what a word on Snakemake's command line means
skeleton                                 the files of a new experiment
figures/, report/                        notebooks and figures; the static site
"""
