"""A made-up project with two papers, claims of all six verdicts, figures and recorded verdicts, for the tests of the report."""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import yaml

from flowcheck.pipeline.evidence import Evidence, Measurement, save_json, save_sealed
from flowcheck.pipeline.ledger import build_ledger, judge_experiment, write_ledger
from flowcheck.pipeline.project import Project
from flowcheck.pipeline.report.write import write_report
from flowcheck.pipeline.seal import SEAL, blank_seal

SCALE = "smoke"
TRICKY = r"""
Let $\bar{\mathbf w} = \mathbf w/\|\mathbf w\|$. If $a<b$ and $|x|\le 1$ then $\cos\theta(t) \xrightarrow{t\to\infty} 1$, and

$$\operatorname*{arg\,max}_{\|u\|_2=1} \sum_{i=1}^n \frac{\langle x_i, u\rangle^2}{\sqrt{1+\lambda_{\min}}}
= \begin{cases} -1 & t \le 0 \\ \left\|\bar{\mathbf w}(t)\right\| & \text{otherwise} \end{cases}$$

<script>alert("raw")</script> and <b>bold</b> stay text.
"""


def predicate(metric: str, sign: str, value: float, why: str = "the bound of the theorem, error of order $10^{-9}$") -> dict:
    return {"metric": metric, "is": sign, "value": value, "why": why}


def control(name: str, metric: str, sign: str, value: float, **rest: str) -> dict:
    return {"name": name, "metric": metric, "is": sign, "value": value, **rest}


def claim(name: str, label: str, title: str, **rest: object) -> dict:
    entry = {
        "id": name,
        "label": label,
        "title": title,
        "location": "Section 3.1; proof in B.1",
        "kind": "theorem",
        "class": "inequality",
        "priority": "A",
        "covers": {"parts": "all of it", "over": "64 starts"},
        "statement": r"$\mathcal{L}(\mathbf w(t)) \le e^{-2t}\,\mathcal{L}(\mathbf w(0))$ for every $t \ge 0$.",
        "experiment": "rates",
        "predicates": [predicate("error_max", "<=", 1e-6)],
        "controls": [control("rate doubled", "error_doubled", ">", 1e-3)],
    }
    return entry | rest


ALPHA = [
    claim(
        "theorem-1",
        "Theorem 1",
        r"Linear rate of $\|\mathbf w(t)\|$",
        statement=TRICKY,
        figures=["decay"],
        note="Holds with the constant of the proof, $C_1 = 1/2$.",
        covers={
            "parts": "the rate, for all recorded $t$",
            "over": "depths 2 and 3, 64 starts each",
            "leaves_out": {"depths above 3": r"the equation of $\mathbf w_e$ has the depth as a parameter"},
        },
        hypotheses=[{"metric": "balance", "is": "<=", "value": 1e-10, "why": "Eq. (13) along the simulated network"}],
        predicates=[
            predicate("error_max", "<=", 1e-6),
            predicate("slope", ">=", 1.9, "order two, less the width of the interval"),
            predicate("balance", "<=", 1e-8) | {"implied": "starts are drawn until they are balanced"},
        ],
        controls=[
            control("rate doubled", "error_doubled", ">", 1e-3, against="error_max"),
            control("labels permuted", "slope_permuted", "<", 1.5, against="slope"),
        ],
    ),
    claim(
        "theorem-1-printed",
        "Theorem 1",
        "Linear rate with the printed constant",
        variant="printed",
        result="theorem-1",
        counterexample={
            "by": "flowcheck.papers.alpha.example",
            "input": {"start": 1e-3, "seed": 7, "law": "circle"},
            "left": {"says": r"$\mathcal L(\mathbf w(1))$", "value": 0.25},
            "asks": "<=",
            "right": {"says": "the printed bound", "value": 0.125},
        },
        predicates=[predicate("error_printed", "<=", 1e-6)],
    ),
    claim(
        "lemma-2",
        "Lemma 2",
        "Balancedness is conserved",
        kind="lemma",
        experiment="flow",
        priority="B",
        hypotheses=[{"metric": "drift", "is": "<=", "value": 1e-8, "why": "the flow must be resolved"}],
        predicates=[predicate("conserved", "<=", 1e-6)],
        controls=[],
        no_control="An identity of the start alone.",
        **{"class": "identity"},
    ),
    claim(
        "figure-3",
        "Figure 3",
        "Loss along the flow",
        kind="figure",
        priority="C",
        figures=["decay", "angles"],
        predicates=[predicate("toothless", "<=", 1.0)],
        controls=[control("noise in place of labels", "noise", ">", 2.0)],
        **{"class": "figure"},
    ),
]
BETA = [
    claim("proposition-4", "Proposition 4", "An upper bound far from tight", kind="proposition",
          predicates=[predicate("bound", ">=", 0.0) | {"bound": "excess", "typical": "bound_typical"}
                      | {"vacuous_above": 10.0, "vacuous_why": "more than ten away"}],
          controls=[control("sign flipped", "bound_flipped", "<", -1.0)]),
    claim("conjecture-a", "Observation A", "The rate survives discretisation", kind="sentence", origin="flowcheck",
          experiment="missing", strength="enclosed", figures=["nothing"], predicates=[predicate("unmeasured", "<=", 1.0)],
          controls=[control("large step", "unmeasured_large", ">", 2.0)], **{"class": "rate"}),
    claim("theorem-10", "Theorem 10", "Wrong as we read it", predicates=[predicate("wrong", "<=", 1.0)],
          controls=[control("worse still", "wrong_more", ">", 2.0)]),
]  # fmt: skip
METRICS = {
    ("alpha", "rates"): {
        "error_max": Measurement(3.2e-8, 1e-10, n=64),
        "error_doubled": Measurement(0.41, 1e-9),
        "error_printed": Measurement(1.25e-2, 1e-10, n=64),
        "slope": Measurement(1.98, 1e-4, (1.95, 2.01), 12),
        "slope_permuted": Measurement(0.03, 1e-4),
        "balance": Measurement(4.4e-16, 1e-17),
        "toothless": Measurement.exact(0.5),
        "noise": Measurement.exact(0.25),
    },
    ("alpha", "flow"): {"drift": Measurement(1e-3, 1e-9), "conserved": Measurement(1e-9, 1e-12)},
    ("beta", "rates"): {
        "error_max": Measurement.exact(0.0),
        "error_doubled": Measurement.exact(1.0),
        "bound": Measurement(1.5e6, 2.0),
        "bound_typical": Measurement(3e8, 2.0),
        "bound_flipped": Measurement(-1.5e6, 2.0),
        "wrong": Measurement(1.00000004, 1e-12),
        "wrong_more": Measurement.exact(3.0),
    },
}
PROMISED = {
    "rates": sorted({name for (_, e), found in METRICS.items() if e == "rates" for name in found}),
    "flow": ["drift", "conserved"],
    "missing": ["unmeasured", "unmeasured_large"],
}
EXPECTED = {
    "alpha/theorem-1": "supported",
    "alpha/lemma-2": "supported",
    "beta/theorem-10": "contradicted",
    "beta/gone": "supported",
}
RESULTS = {
    "alpha": {"theorem-1": "Theorem 1", "lemma-2": "Lemma 2", "remark-9": "Remark 9", "figure-3": "Figure 3"},
    "beta": {"proposition-4": "Proposition 4", "theorem-10": "Theorem 10"},
}
UNCHECKED = {"alpha": {"remark-9": "it thanks the referees"}, "beta": {}}
DEVIATIONS = {
    "alpha": [
        {
            "id": "printed-constant",
            "kind": "erratum",
            "hits": {"theorem-1": "statement"},
            "location": "Theorem 1, Eq. (7)",
            "paper_says": r"$C_1 = 2$",
            "we_do": r"$C_1 = \tfrac12$, the value of the proof.",
            "effect": "The printed bound is missed by a factor of $10^4$ in 64 of 64 runs.",
            "proof": r"Take $\mathbf w(0) = 0$: then $\frac{d}{dt}\|\mathbf w\|^2 = 0 < C_1$.",
            "defence": r"Read with $2C_1$ called $C_1$ it is right.",
            "claims": ["theorem-1", "theorem-1-printed"],
        },
        {
            "id": "step-size",
            "kind": "deviation",
            "location": "Section 5",
            "paper_says": "step size not stated",
            "authors_code_does": "`lr = 1e-3`",
            "we_do": "$10^{-3}$ as in the code",
            "effect": "none to six digits",
            "claims": ["figure-3"],
        },
    ],
    "beta": [],
}


def make_project(root: Path) -> Project:
    """Configuration, evidence, figures, notebooks, verdicts and ledger of the made-up project, under `root`."""
    for paper, claims in (("alpha", ALPHA), ("beta", BETA)):
        names = sorted({entry["experiment"] for entry in claims})
        experiments = {name: _experiment(name, paper) for name in names}
        about = {
            "title": f"On the {paper} of Gradient Flow",
            "authors": "A. Author & B. Writer",
            "reference": "*Journal of Made-up Results* 1 (2024)",
            "about": r"What happens to $\bar{\mathbf w}(t)$ at small initialization.",
            "results": RESULTS[paper],
            "unchecked": UNCHECKED[paper],
        }
        _write(root / f"config/experiments/{paper}/paper.yaml", yaml.safe_dump(about))
        for name, entry in experiments.items():
            own = [
                {key: value for key, value in each.items() if key != "experiment"}
                for each in claims
                if each["experiment"] == name
            ]
            _write(root / f"config/experiments/{paper}/{name}.yaml", yaml.safe_dump(entry))
            _write(root / f"config/claims/{paper}/{name}.yaml", yaml.safe_dump({"claims": own}))
        _write(root / f"config/deviations/{paper}.yaml", yaml.safe_dump(DEVIATIONS[paper]))
        for name in names:
            _write(root / f"scripts/{paper}/{name}.py", "")
            _write(root / f"notebooks/{paper}/{name}.ipynb", "{}")
    save_json(root / "config/expected" / f"{SCALE}.json", EXPECTED)
    project = Project(root)
    for (paper, experiment), metrics in METRICS.items():
        folder = root / "results" / SCALE / paper / experiment
        Evidence(metrics, provenance=provenance(paper, experiment)).save(folder)
        _write(folder / "notebook.html", "<!doctype html><title>notebook</title><p>executed")
        for figure in project.experiments[paper][experiment].figures:
            draw(folder / "figures", figure)
        shown = [folder / "notebook.html", *sorted((folder / "figures").iterdir())]
        save_sealed(folder / "notebook.ipynb", {SEAL: blank_seal(folder / "notebook.ipynb", shown)})
    for paper, experiment in project:
        file = root / "results" / SCALE / paper / experiment / "metrics.json"
        judge_experiment(project, SCALE, paper, experiment, file)
    write_ledger(root / "results" / SCALE, build_ledger(project, SCALE, ["alpha", "beta"]))
    return project


def make_report(root: Path) -> Path:
    """The report of the made-up project; returns its folder."""
    write_report(make_project(root), SCALE)
    return root / "results" / SCALE / "report"


def provenance(paper: str, experiment: str) -> dict:
    return {
        "paper": paper,
        "experiment": experiment,
        "scale": SCALE,
        "seed": 20240501,
        "grid": {"depth": [2, 3], "scale": [1e-3, 1e-2]},
        "parameters": {"step_size": 1e-3, "widths": [5, 20, 1], "activation": "relu"},
        "commit": "0123456789ab",
        "versions": {"python": "3.11.9", "numpy": "2.1.0", "torch": "2.13.0"},
        "device": "cpu",
        "machine": "Linux x86_64, 8 cores",
        "finished": "2026-01-02T03:04:05+00:00",
        "script": f"scripts/{paper}/{experiment}.py",
        "cells": 4,
        "wall_time_s": 83.42,
    }


def draw(folder: Path, name: str) -> None:
    """One figure in the three formats that notebooks write."""
    folder.mkdir(parents=True, exist_ok=True)
    figure, axes = plt.subplots(figsize=(5, 3.2), layout="constrained")
    times = np.linspace(0, 3, 100)
    for rate in (1, 2, 4):
        axes.semilogy(times, np.exp(-rate * times), label=f"rate {rate}")
    axes.set(xlabel="time $t$", ylabel="loss", title=name)
    axes.legend()
    for suffix in ("png", "svg", "pdf"):
        figure.savefig(folder / f"{name}.{suffix}", dpi=120)
    plt.close(figure)


def verdicts(folder: Path) -> dict[str, str]:
    """Verdict by claim, from the ledger that travels with the report."""
    return {entry["id"]: entry["verdict"] for entry in json.loads((folder / "ledger.json").read_text())["claims"]}


def _experiment(name: str, paper: str) -> dict:
    figures = {"rates": ["decay", "angles"], "flow": ["invariant"], "missing": ["nothing"]}[name]
    return {
        "title": f"Study of {name}",
        "summary": r"Integrates $\dot{\mathbf w} = -\nabla\mathcal L(\mathbf w)$ from 64 starts.",
        "seed": 1,
        "metrics": {metric: rf"largest $|\cos\theta - \hat c|$ of {metric} over all starts" for metric in PROMISED[name]},
        "figures": dict.fromkeys(figures, rf"Loss $\mathcal{{L}}(t)$ of {paper} for three rates, 64 starts each."),
    }


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
