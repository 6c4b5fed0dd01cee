"""flowcheck: gradient-flow papers, claim by claim, against numbers."""

__version__ = "0.1.0"
