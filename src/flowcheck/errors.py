"""What commands tell a user instead of a traceback; a module of its own, because importing the configuration takes time."""


class ConfigError(ValueError):
    """Bad input, said in one sentence: file, key, what is there, what is allowed."""
