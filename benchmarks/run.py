"""Run the benchmarks and write results.json, results.md and results.png beside this file: `make bench`."""

# ruff: noqa: E402 - one thread must be asked for before the libraries are imported
from __future__ import annotations

import os

for _variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[_variable] = "1"
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
os.environ["JAX_ENABLE_X64"] = "1"
os.environ["JAX_PLATFORMS"] = "cpu"

import argparse
import json
import sys
from pathlib import Path

import torch

from benchmarks import classifier, convolutional, curvature, descent, escape, horizon, next_neuron, pursuit, report, saddles

WORK = {
    "B1-B3": descent.rows,
    "B4": escape.rows,
    "B5": saddles.rows,
    "B6": curvature.rows,
    "B7": lambda rounds: classifier.rows(rounds) + convolutional.rows(rounds),
    "B8-B10": pursuit.rows,
    "B9": next_neuron.rows,
    "GF": horizon.rows,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=list(WORK), action="append", help="may be repeated; default: all")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    arguments.output.mkdir(parents=True, exist_ok=True)
    rows = []
    for name in arguments.only or WORK:
        print(f"{name} ...", file=sys.stderr, flush=True)
        rows += WORK[name](arguments.rounds)
        text = json.dumps([row.as_json() for row in rows], indent=1) + "\n"
        (arguments.output / "results.json").write_text(text, encoding="utf-8")
        (arguments.output / "results.md").write_text(report.table(rows), encoding="utf-8")
    report.plot(rows, arguments.output / "results.png")
    print(report.table(rows))


if __name__ == "__main__":
    main()
