"""The machinery: configuration, evidence, judge, ledger; it knows no network and no flow.

names, settings, schema, strict_yaml, project   what is to be run, read and validated
parameters                               whether the scripts take them
surroundings                             what a run needs of the place it runs in
digest                                   the digest of the code an experiment runs
evidence, experiment                     what a run leaves; the command line of a script
claims, judge, ledger                    claim and evidence in, verdict out; all verdicts
skeleton                                 the files of a new experiment
figures/, report/                        notebooks and figures; the static site
"""
