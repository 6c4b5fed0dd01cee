"""Neuron Pursuit as a scikit-learn estimator, for pipelines and grid searches."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from flowcheck.arguments import one_of, whole
from flowcheck.networks.activation import Activation
from flowcheck.pursuit.candidates import Ascent
from flowcheck.pursuit.descent import Descent
from flowcheck.pursuit.levenberg_marquardt import LevenbergMarquardt
from flowcheck.pursuit.pursue import Plan, pursue


class NeuronPursuitRegressor(RegressorMixin, BaseEstimator):  # type: ignore[misc]  # sklearn has no types
    """A network that grows neuron by neuron until it fits.

    Inputs are divided by their root mean square, and labels by theirs after their mean is taken away: one step size then serves
    most data. Features of different units are best scaled before, by a `StandardScaler`.

    Args:
        depth: number of layers of weights.
        slope, power: of the activation max(x, slope x)^power; leaky, so that no start is dead.
        max_neurons: added at most, after the first network with one in each layer.
        tolerance: the training error, relative to the size of y, at which no more are added.
        inner: the solver after each neuron, "descent" or "levenberg-marquardt", which is made for a power of 2 or more.
        step_size, steps: of that descent; a step with which the loss rises is halved. Levenberg-Marquardt has no step size, and
            takes 500 steps at most where `steps` are more.
        starts: of the search for each neuron, in each layer.
        fit_intercept: whether the network has a constant as a further input, and the mean of y is taken away before.
        random_state: of the starts.

    Attributes:
        pursuit_: what was found, with the network and the neuron of every iteration.
        training_errors_: relative training error after every iteration, an array of length `n_iter_`.

    >>> x = np.linspace(-1.0, 1.0, 41)[:, None]
    >>> model = NeuronPursuitRegressor(random_state=0).fit(x, np.abs(x[:, 0]))
    >>> model.score(x, np.abs(x[:, 0])) > 0.999
    True
    """

    def __init__(
        self,
        *,
        depth: Any = 3,
        slope: Any = 0.5,
        power: Any = 1,
        max_neurons: Any = 20,
        tolerance: Any = 1e-3,
        inner: Any = "descent",
        step_size: Any = 0.05,
        steps: Any = 10_000,
        starts: Any = 10,
        fit_intercept: Any = True,
        random_state: Any = None,
    ) -> None:
        # kept as given, and checked by `fit`: what scikit-learn asks of every estimator
        self.depth = depth
        self.slope = slope
        self.power = power
        self.max_neurons = max_neurons
        self.tolerance = tolerance
        self.inner = inner
        self.step_size = step_size
        self.steps = steps
        self.starts = starts
        self.fit_intercept = fit_intercept
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> NeuronPursuitRegressor:
        """From inputs [n, d] and labels [n] or [n, c]. Raises ValueError for constant labels, or what `pursue` refuses."""
        x, labels = validate_data(self, X, y, dtype=np.float64, multi_output=True, y_numeric=True, ensure_min_samples=2)
        self._one_output = labels.ndim == 1
        rows = np.asarray(labels, dtype=np.float64).reshape(len(labels), -1)
        self._mean = rows.mean(axis=0) if self.fit_intercept else np.zeros(rows.shape[1])
        self._size, self._input_size = _size(rows - self._mean), _size(x)
        rows = (rows - self._mean) / self._size
        if not np.abs(rows).max() > 1e-12:
            raise ValueError("y is constant, or zero without an intercept: there is nothing to fit")
        self.pursuit_ = pursue(
            self._inputs(x),
            torch.from_numpy(rows),
            depth=self.depth,
            activation=Activation(self.slope, self.power),
            iterations=self.max_neurons + 1,
            tolerance=self.tolerance,
            plan=Plan(
                ascent=Ascent(starts=self.starts, tolerance=1e-6, iterations=500),
                inner=self._solver(),
            ),
            seed=int(check_random_state(self.random_state).randint(2**31 - 1)),
        )
        self.training_errors_ = np.array([step.error for step in self.pursuit_.history])
        self.n_iter_ = max(1, len(self.training_errors_))
        return self

    def predict(self, X: Any) -> np.ndarray:
        """For inputs [n, d]: [n], or [n, c] where the labels were so."""
        check_is_fitted(self)
        x = validate_data(self, X, dtype=np.float64, reset=False)
        outputs = self._mean + self._size * self.pursuit_.grown.predict(self._inputs(x)).numpy()
        return outputs[:, 0] if self._one_output else outputs

    def _solver(self) -> Descent | LevenbergMarquardt:
        one_of("inner", self.inner, ("descent", "levenberg-marquardt"))
        if self.inner == "descent":
            return Descent(self.step_size, self.steps, looks=20, halvings=20)
        return LevenbergMarquardt(min(whole("steps", self.steps, 1), LevenbergMarquardt.steps))

    def _inputs(self, x: np.ndarray) -> Float[torch.Tensor, "n d"]:
        rows = x / self._input_size
        return torch.from_numpy(np.column_stack([rows, np.ones(len(rows))]) if self.fit_intercept else rows)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


def _size(values: np.ndarray) -> float:
    """The root mean square, or 1 where that is 0."""
    largest = float(np.abs(values).max())
    return largest * float(np.sqrt(np.mean((values / largest) ** 2))) if largest else 1.0
