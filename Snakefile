"""flowcheck: config, validation, includes, rule all; nothing else."""

import sys
from pathlib import Path

from flowcheck.pipeline.project import Project
from flowcheck.errors import ConfigError

from snakemake.utils import min_version

min_version("9.0")

try:
    PROJECT = Project()
    RUN = PROJECT.run_config(config)
    PROJECT.check_parameters()
    for argument in sys.argv[1:]:  # a misspelt target gets a better answer than MissingRuleException
        PROJECT.check_target(argument)
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


onstart:
    PLAN.starts(workflow)
