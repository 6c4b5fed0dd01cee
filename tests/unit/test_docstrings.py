"""The examples in docstrings run, and give what they say. The list of modules that have some only grows."""

import ast
import doctest
import importlib
from pathlib import Path

import pytest

SRC = Path(__file__).resolve().parents[2] / "src"
WITH_EXAMPLES = (
    "arguments",
    "correlation.ascent",
    "correlation.ncf",
    "curvature.certificate",
    "curvature.dense",
    "curvature.hessian_products",
    "curvature.lanczos",
    "curvature.module_loss",
    "descent.classifier",
    "descent.gradient_descent",
    "descent.input_span",
    "descent.regression",
    "flows.events",
    "flows.flow",
    "geometry",
    "integration.discrepancy",
    "integration.initial_value",
    "losses",
    "measures.readings",
    "measures.refinement",
    "measures.statistics",
    "measures.table",
    "networks.activation",
    "networks.leading_term",
    "networks.linear",
    "networks.problem",
    "networks.tied",
    "networks.zoo",
    "papers.continuous_discrete.calibrated_gap",
    "papers.continuous_discrete.certified_step",
    "papers.continuous_discrete.procedure_13",
    "papers.continuous_discrete.unbalanced",
    "papers.deep_homogeneous.displayed_run",
    "papers.deep_homogeneous.figure_anatomy",
    "papers.deep_homogeneous.figure_recipes",
    "papers.neuron_pursuit.diagonal",
    "papers.neuron_pursuit.figure_5",
    "papers.neuron_pursuit.modular_addition",
    "pipeline.claims",
    "pursuit.estimator",
    "pursuit.grown",
    "pursuit.pursue",
    "tensors",
)


def examples(source: str, names: dict) -> list[doctest.DocTest]:
    """The docstrings with examples in a module's text. Read from the text: shape checks hide wrapped functions from doctest."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ">>>" in (
            docstring := ast.get_docstring(node) or ""
        ):
            name = getattr(node, "name", "(module)")
            found.append(doctest.DocTestParser().get_doctest(docstring, dict(names), name, None, None))
    return found


def run(tests: list[doctest.DocTest]) -> tuple[int, str]:
    """How many examples ran, and what was said of those that failed."""
    said: list[str] = []
    runner = doctest.DocTestRunner(verbose=False)
    for test in tests:
        runner.run(test, out=said.append)
    return runner.tries, "".join(said)


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_the_examples_of_a_module_give_what_they_say(name):
    module = importlib.import_module(f"flowcheck.{name}")
    tried, failures = run(examples(Path(module.__file__).read_text(), vars(module)))
    assert tried > 0
    assert not failures, failures


def test_no_example_of_the_package_goes_unrun():
    with_examples = {
        ".".join(path.relative_to(SRC / "flowcheck").with_suffix("").parts)
        for path in (SRC / "flowcheck").rglob("*.py")
        if examples(path.read_text(), {})
    }
    assert with_examples == set(WITH_EXAMPLES)


def test_a_wrong_example_is_noticed():
    text = 'def double(x):\n    """Twice.\n\n    >>> double(2)\n    5\n    """\n    return 2 * x\n'
    names: dict = {}
    exec(text, names)
    tried, failures = run(examples(text, names))
    assert tried == 1
    assert "Expected:\n    5\nGot:\n    4" in failures
