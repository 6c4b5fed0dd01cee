"""The report: a static site around the ledger, complete in one folder, readable from ``file://`` without network or server.

write    the whole site, index last          site        its pages
mathml   formulas                            commands    LaTeX's commands that the converter does not know
"""
