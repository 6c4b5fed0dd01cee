"""The estimator passes scikit-learn's own checks, works in a pipeline and a grid search, and does not depend on units."""

import warnings

import numpy as np
import pytest
from sklearn.datasets import load_diabetes
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from flowcheck.pursuit.estimator import NeuronPursuitRegressor

SMALL = {"max_neurons": 2, "steps": 500, "starts": 3, "random_state": 0}


def test_scikit_learn_s_own_checks_pass():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = check_estimator(NeuronPursuitRegressor(**SMALL))
    assert len(results) > 40
    assert not [result for result in results if result["status"] == "failed"]


def test_pipelines_and_grid_searches_take_it():
    x, y = load_diabetes(return_X_y=True)
    pipe = make_pipeline(StandardScaler(), NeuronPursuitRegressor(**SMALL))
    grid = GridSearchCV(pipe, {"neuronpursuitregressor__max_neurons": [1]}, cv=2).fit(x[:100], y[:100])
    assert grid.score(x[:100], y[:100]) > 0.2


def test_units_change_nothing():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((80, 3))
    y = np.column_stack([np.abs(x[:, 0]), x[:, 1]])
    one = NeuronPursuitRegressor(**SMALL).fit(x, y).predict(x)
    other = NeuronPursuitRegressor(**SMALL).fit(1024 * x, 4096 * y).predict(1024 * x)
    assert one.shape == (80, 2)
    assert np.allclose(other, 4096 * one, rtol=1e-9)


def test_errors_fall_with_neurons_and_the_last_is_that_of_the_fit():
    x = np.random.default_rng(0).standard_normal((100, 4))
    y = np.maximum(x[:, 0], 0) - np.maximum(x[:, 1] - x[:, 2], 0)
    model = NeuronPursuitRegressor(max_neurons=3, steps=2000, random_state=0).fit(x, y)
    assert model.n_iter_ == len(model.training_errors_)
    assert (np.diff(model.training_errors_) < 1e-12).all()
    centred = y - y.mean()
    found = np.linalg.norm(model.predict(x) - y) / np.linalg.norm(centred)
    assert found == pytest.approx(model.training_errors_[-1], rel=1e-9)
    assert found < 0.5


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"y": np.ones(20)}, "y is constant"),
        ({"y": np.zeros(20)}, "y is constant"),
        ({"x": np.full((20, 2), np.nan)}, "NaN"),
        ({"y": np.ones(19)}, "inconsistent numbers of samples"),
        ({"depth": 1}, "depth must be"),
        ({"power": 0}, "power of at least 1"),
        ({"steps": 0}, "steps must be"),
    ],
    ids=str,
)
def test_what_can_not_be_fitted_is_refused(change, said):
    data = {"x": np.random.default_rng(0).standard_normal((20, 2)), "y": np.arange(20.0)}
    settings = {name: value for name, value in change.items() if name not in data}
    data |= {name: value for name, value in change.items() if name in data}
    with pytest.raises(ValueError, match=said):
        NeuronPursuitRegressor(**SMALL | settings).fit(data["x"], data["y"])
