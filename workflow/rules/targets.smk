"""Words of the command line that are no rule: the files that they mean, or one sentence in place of MissingRuleException."""

import os

from snakemake.cli import get_argument_parser

from flowcheck.pipeline.targets import file_of

_given = get_argument_parser().parse_known_args(sys.argv[1:])[0]
_ends = [word for words in (_given.until, _given.omit_from, _given.forcerun, _given.prioritize) for word in words or ()]
_files = {}
try:
    for _word in (*(_given.targets or ()), *_ends):
        if workflow.is_rule(_word):
            if workflow.get_rule(_word).has_wildcards() and _word not in _ends:
                raise ConfigError(
                    f"{_word}: a rule for many files; ask for one of them, or end a run there with: --until {_word}"
                )
        else:
            _files[_word] = file_of(PROJECT, RUN.scale, _word)
            if _word in _ends and os.path.normpath(_word) != _files[_word]:
                raise ConfigError(
                    f"{_word}: an option that ends, forces or prefers jobs takes a rule, or a file as in {_files[_word]}"
                )
except ConfigError as error:
    sys.exit(f"flowcheck: {error}")

if _given.report and not _given.dryrun:  # Snakemake gathers all of it before it finds that the folder is not there
    try:
        Path(_given.report).parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        sys.exit(f"flowcheck: --report {_given.report}: {error.strerror}: {error.filename}")

if _given.generate_unit_tests:  # Snakemake copies finished results, and names all files relative to the checkout
    _about = f"--generate-unit-tests {_given.generate_unit_tests}"
    if not Path(_given.generate_unit_tests).absolute().is_relative_to(Path.cwd()):
        sys.exit(f"flowcheck: {_about}: outside of this checkout, in which Snakemake writes tests")
    for _file in _files.values() or [f"results/{RUN.scale}/report/index.html"]:
        if not Path(_file).is_file():
            sys.exit(f"flowcheck: {_about}: made of finished results, and {_file} is not there; run it first")

for _word, _file in _files.items():
    if os.path.normpath(_word) != _file:  # Snakemake takes the words of its command line for files or for rules

        rule:
            name:
                _word
            input:
                _file,
