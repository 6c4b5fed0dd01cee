"""The type checker of the tests: beartype, with an int accepted where a float is declared, as mypy does."""

from beartype import BeartypeConf, beartype

check = beartype(conf=BeartypeConf(is_pep484_tower=True))
