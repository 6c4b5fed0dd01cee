"""The errors that both halves of the package raise; they import nothing of it."""

import math


class ConfigError(ValueError):
    """Bad input, said in one sentence: file, key, what is there, what is allowed."""


class EvidenceError(ValueError):
    """A file of results is damaged, was changed, or belongs to another run; said in one sentence that begins with the file."""


class HypothesisError(ValueError):
    """A hypothesis of the claims is not met by the run: `metric` is the evidence that says so, `measured` its value.

    Raised by a cell or a gathering step, it leaves evidence in which `metric` is measured and all else is NaN. Raises
    ValueError in its own place if `measured` is no number: nothing is known of the hypothesis then.
    """

    def __init__(self, metric: str, measured: float, sentence: str) -> None:
        if not math.isfinite(measured):  # what could not be measured is no hypothesis that fails
            raise ValueError(f"{sentence}: {metric} was not measured, it is {measured}")
        super().__init__(f"{sentence} ({metric} = {measured:.6g})")
        self.metric, self.measured, self.sentence = metric, float(measured), sentence
