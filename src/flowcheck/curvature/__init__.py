"""Second derivatives of a loss.

dense             the whole matrix, for many points at once
"""
