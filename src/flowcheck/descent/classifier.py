r"""Full-batch gradient descent of fully connected classifiers: mean cross-entropy of a softmax, in single or double precision.

Several runs on one data set, which may differ in start and step size. Gradients are written out, the first layer is kept in
coordinates of the span of the inputs, and a linear network is differentiated through its end-to-end matrix, which meets the data
only twice: $\nabla f$ at layer j is $(W_{n:j+1})^\top G\,(W_{j-1:1})^\top$ with the gradient G of the loss of $W_{n:1}$.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from flowcheck.arguments import POSITIVE, instance, one_of, whole
from flowcheck.descent.compiler import NotNativeError
from flowcheck.descent.dense_code import MOST_LAYERS, Beginning, Steps
from flowcheck.descent.input_span import InputSpan
from flowcheck.descent.vector_code import DTYPES, Precision
from flowcheck.networks.problem import Objective, check_runs
from flowcheck.networks.tied import TiedNetwork
from flowcheck.tensors import Numbers, for_each


class ClassifierDescent:
    """Runs of descent from `start` [S, k], at iteration 0; `advance` moves all of them.

    Args:
        objective: a fully connected `TiedNetwork`, linear or ReLU, with the mean cross-entropy of labels that are `one_hot`.
        step_size: one, or one for each run [S].
        precision: in which weights are kept and gradients computed, "float64" or "float32".
        compile: in C, where the data are on the CPU and there is a compiler; `mode` says what became of it.
        span: that of the objective's inputs, where it is known already.

    Raises ValueError for another network, loss or span, or a step size that is not positive.

    >>> from flowcheck.losses import cross_entropy, one_hot
    >>> fit = Objective(TiedNetwork.fully_connected([1, 1, 2]), [[1.0], [2.0]], one_hot([0, 1], 2), cross_entropy(2, "mean"))
    >>> runs = ClassifierDescent(fit, [[1.0, 0.5, -0.5]], step_size=0.1)
    >>> runs.advance(1000)
    >>> bool(fit.value(runs.weights()) < fit.value([[1.0, 0.5, -0.5]]))
    True
    """

    def __init__(
        self,
        objective: Objective,
        start: Numbers,
        *,
        step_size: float | Numbers,
        precision: Precision = "float64",
        compile: bool = True,
        span: InputSpan | None = None,
    ) -> None:
        instance("objective", objective, Objective)
        one_of("precision", precision, DTYPES)
        network, classes = _classifier(objective)
        self.start = check_runs(network, objective.x, objective.y, start)
        sizes = for_each("step_size", step_size, self.start, POSITIVE)
        self.network, self.span, self.iteration = network, span or InputSpan.of(objective.x), 0
        if span is not None and not span.holds(objective.x):
            raise ValueError("span is not that of the objective's inputs")
        first, *others = self._layers(self.start)
        layers, kinked = [self.span.within(first), *others], network.below != network.above
        begin = Beginning(layers, self.span.coordinates, classes, sizes, kinked, precision)
        self.mode = "compiled" if compile else "tensors"
        if compile:
            try:
                if objective.x.device.type != "cpu":
                    raise NotNativeError(f"data are on {objective.x.device}")
                self.steps: Steps | TensorSteps = Steps(begin)
            except NotNativeError as reason:
                self.mode = f"tensors: {reason}"
        if self.mode != "compiled":
            self.steps = TensorSteps(begin)

    def advance(self, steps: int) -> None:
        """So many iterations, at least one."""
        count = whole("steps", steps, 1)
        self.steps.advance(count)
        self.iteration += count

    def weights(self) -> Float[Tensor, "s k"]:
        """The weights of all runs in double precision."""
        first, *others = self.steps.weights()
        layers = [self.span.whole(first, self._layers(self.start)[0]), *others]
        return torch.cat([layer.flatten(start_dim=1) for layer in layers], dim=1)

    def _layers(self, w: Float[Tensor, "s k"]) -> list[Float[Tensor, "s _ _"]]:
        shapes = [layer.index.shape for layer in self.network.layers]
        return [part.reshape(len(w), *shape) for part, shape in zip(self.network.parts(w), shapes, strict=True)]


def _classifier(objective: Objective) -> tuple[TiedNetwork, Int[Tensor, " n"]]:
    """The network and the class of each sample. Raises ValueError where `ClassifierDescent` does not apply."""
    network, loss = objective.network, objective.loss
    if not isinstance(network, TiedNetwork) or any(layer.size != layer.index.numel() for layer in network.layers):
        raise ValueError(f"{network.name} is no fully connected network with weights of its own in every entry")
    if network.above != 1 or network.below not in (0, 1) or not 2 <= len(network.layers) <= MOST_LAYERS:
        raise ValueError(f"{network.name} must be linear or ReLU, with 2 to {MOST_LAYERS} layers")
    if loss.kind != "cross_entropy" or loss.normalisation != "mean" or loss.scale != 1:
        raise ValueError(f"the loss must be the mean cross-entropy, got the {loss.normalisation} of {loss.kind}")
    if objective.x.ndim != 2 or objective.y.ndim != 1:
        raise ValueError("all runs share inputs and labels here")
    labels = objective.y.view(-1, loss.outputs_per_sample)
    if not bool(((labels == 0) | (labels == 1)).all() and (labels.sum(dim=1) == 1).all()):
        raise ValueError("y must name one class for each sample, as `one_hot` does")
    return network, labels.argmax(dim=1)


class TensorSteps:
    """`dense_code.Steps` on torch tensors, on any device."""

    def __init__(self, begin: Beginning) -> None:
        dtype = DTYPES[begin.precision]
        self.layers = [layer.to(dtype, copy=True) for layer in begin.layers]
        self.x, self.kinked = begin.x.to(dtype), begin.kinked
        named = torch.nn.functional.one_hot(begin.classes, begin.layers[-1].shape[1]).mT
        self.share = (begin.step_sizes / len(begin.x)).to(dtype)[:, None, None]
        self.named = self.share * named.to(dtype)

    def advance(self, steps: int) -> None:
        """So many steps of all runs."""
        with torch.no_grad():
            for _ in range(steps):
                changes = self._kinked() if self.kinked else self._linear()
                for layer, change in zip(self.layers, changes, strict=True):
                    layer += change

    def weights(self) -> list[Float[Tensor, "s _ _"]]:
        """The layers as they are now, in double precision."""
        return [layer.double() for layer in self.layers]

    def _residual(self, outputs: Float[Tensor, "s c n"]) -> Float[Tensor, "s c n"]:
        """Step size over n, times one-hot minus softmax."""
        return torch.softmax(outputs, dim=1).mul_(-self.share).add_(self.named)

    def _linear(self) -> list[Tensor]:
        above = [self.layers[-1]]
        for layer in self.layers[-2::-1]:
            above.insert(0, above[0] @ layer)
        through = self._residual(above[0] @ self.x.mT) @ self.x
        changes = []
        for layer, left in zip(self.layers[:-1], above[1:], strict=True):
            changes.append(left.mT @ through)
            through = through @ layer.mT
        return [*changes, through]

    def _kinked(self) -> list[Tensor]:
        units: list[Tensor] = [self.x.mT]
        for layer in self.layers[:-1]:
            units.append((layer @ units[-1]).relu_())
        back = self._residual(self.layers[-1] @ units[-1])
        changes: list[Tensor] = []
        for position in range(len(self.layers) - 1, -1, -1):
            changes.insert(0, back @ units[position].mT)
            if position:
                back = (self.layers[position].mT @ back).mul_(units[position] > 0)
        return changes
