"""flowcheck: config, validation, includes, rule all; nothing else."""

import os
import sys
from pathlib import Path

from snakemake.utils import min_version

min_version("9.0")

try:
    from flowcheck.errors import ConfigError
    from flowcheck.pipeline.digest import check_package
    from flowcheck.pipeline.surroundings import check_surroundings, settle
except ImportError as error:
    sys.exit(f"flowcheck: the package is not in this environment, or a file of that name hides it ({error}); see: make env")

settle(os.environ)
try:
    check_surroundings(Path())
    check_package(Path())
    from flowcheck.pipeline.data_sets import check_data_sets
    from flowcheck.pipeline.project import Project
    from flowcheck.pipeline.prose import check_prose
    from flowcheck.pipeline.recorded import load_expected, load_runs
    from flowcheck.pipeline.settings import SCALES

    PROJECT = Project()
    RUN = PROJECT.run_config(config)
    for scale in SCALES:  # these are read when all has run
        load_expected(PROJECT, scale), load_runs(PROJECT, scale)
    PROJECT.check_parameters()
    check_prose(PROJECT.root)
    check_data_sets(PROJECT, RUN)
except ConfigError as error:
    sys.exit(f"flowcheck: {error}")


include: "workflow/rules/common.smk"
include: "workflow/rules/experiment.smk"
include: "workflow/rules/claims.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/report.smk"


rule all:
    default_target: True
    input:
        f"results/{RUN.scale}/report/index.html",


include: "workflow/rules/targets.smk"
