"""The rules of the house: who may import whom. A broken rule is a sentence that names the import."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "flowcheck"
GROUND = ("errors", "arguments")
LEVELS = (
    ("tensors",),
    ("geometry", "losses"),
    ("integration",),
    ("networks",),
    ("data", "correlation", "descent", "curvature"),
    ("flows", "pursuit"),
    ("alignment", "saddles"),
)
"""Wings of the mathematics: one imports itself and what stands on a level before its own."""
LEVEL = {wing: level for level, wings in enumerate(LEVELS) for wing in wings}
SHARED_ROOM = "homogeneous"
"""What both homogeneous papers say; the only room that other papers' rooms may enter."""


def imports(source: str) -> set[str]:
    """Modules of the package that a file imports, without the package's name: ``networks.zoo``, ``errors``."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name.removeprefix("flowcheck.") for name in found if name.startswith("flowcheck.")}


def objection(importer: str, imported: str) -> str | None:
    """Why the module `importer` may not import `imported` (names without the package's), or None."""
    here, there = importer.split("."), imported.split(".")
    half, other = here[0], there[0]
    said = f"flowcheck.{importer} imports flowcheck.{imported}: "
    if other in GROUND or half == other != "papers":
        return None
    if half in GROUND:
        return said + "the ground lies under everything and imports nothing"
    if half in LEVEL:
        if other not in LEVEL:
            return said + "mathematics imports no machinery, no measures and no paper"
        if LEVEL[other] >= LEVEL[half]:
            return (
                said
                + f"{half} stands on level {LEVEL[half]} of the mathematics and {other} on level {LEVEL[other]}, not below it"
            )
        return None
    if half == "pipeline":
        return said + "the machinery knows no mathematics, no measures and no paper"
    if half == "measures":
        return None if other == "pipeline" else said + "measures know arrays and evidence, nothing else"
    if half == "papers":
        if other == "papers":
            return None if there[1] in (here[1], SHARED_ROOM) else said + "papers do not import each other"
        return None
    return None if half == "__main__" and other == "pipeline" else said + "there is no rule that allows it"


def modules() -> dict[str, Path]:
    """Every module of the package by its name without the package's."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts)] = path
    return found


def test_imports_go_in_one_direction():
    objections = [
        said
        for name, path in modules().items()
        if name != "__init__"
        for imported in sorted(imports(path.read_text()))
        if (said := objection(name, imported))
    ]
    assert not objections, "\n".join(objections)


@pytest.mark.parametrize(
    ("importer", "imported", "reason"),
    [
        ("networks.zoo", "pipeline.evidence.Evidence", "no machinery"),
        ("correlation.ncf", "papers.homogeneous.families", "no paper"),
        ("pipeline.judge", "networks.zoo", "knows no mathematics"),
        ("networks.zoo", "flows.flow", "not below it"),
        ("descent.native", "correlation.ncf", "not below it"),
        ("papers.spherical_data.bounds", "papers.two_homogeneous.bounds", "each other"),
        ("papers.homogeneous.families", "papers.two_homogeneous.bounds", "each other"),
        ("measures.readings", "networks.zoo", "nothing else"),
        ("errors", "geometry", "imports nothing"),
        ("arguments", "tensors", "imports nothing"),
        ("stray", "geometry", "no rule"),
    ],
)
def test_an_import_that_breaks_a_rule_is_named(importer, imported, reason):
    said = objection(importer, imported)
    assert said is not None
    assert reason in said
    assert importer in said
    assert imported in said


@pytest.mark.parametrize(
    ("importer", "imported"),
    [
        ("saddles.saddle", "flows.flow"),
        ("papers.two_homogeneous.bounds", "papers.homogeneous.families"),
        ("papers.spherical_data.descent", "pipeline.experiment"),
        ("measures.readings", "pipeline.evidence"),
        ("pipeline.report.site", "pipeline.ledger"),
        ("networks.hypotheses", "errors"),
    ],
)
def test_an_import_that_keeps_the_rules_passes(importer, imported):
    assert objection(importer, imported) is None


def test_a_package_says_what_is_in_it_and_imports_nothing():
    for path in PACKAGE.rglob("__init__.py"):
        tree = ast.parse(path.read_text())
        assert ast.get_docstring(tree), f"{path.relative_to(ROOT)} has no docstring"
        for node in ast.walk(tree):
            assert not isinstance(node, (ast.Import, ast.ImportFrom)), (
                f"{path.relative_to(ROOT)} imports {ast.unparse(node)}: the digest counts every __init__.py on the way, "
                "so every experiment would depend on it"
            )


def test_the_map_of_a_wing_names_every_module_in_it():
    for path in PACKAGE.rglob("__init__.py"):
        if path.parent in (PACKAGE, PACKAGE / "papers"):
            continue
        said = ast.get_docstring(ast.parse(path.read_text()))
        for module in path.parent.glob("[!_]*.py"):
            assert module.stem in said, f"{path.relative_to(ROOT)} does not mention {module.stem}"


def test_scripts_import_nothing_that_lies_beside_them():
    for path in sorted((ROOT / "scripts").glob("*/*.py")):
        beside = {other.stem for other in path.parent.glob("*.py")}
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            for name in names:
                assert name.split(".")[0] not in beside, f"{path.relative_to(ROOT)} imports {name}, a file beside it"


def test_a_paper_enters_only_its_own_room():
    for path in sorted((ROOT / "scripts").glob("*/*.py")):
        for imported in imports(path.read_text()):
            room = imported.split(".")
            if room[0] == "papers":
                assert room[1] in (path.parent.name, SHARED_ROOM), f"{path.relative_to(ROOT)} imports flowcheck.{imported}"


def test_one_module_asks_scipy_to_integrate():
    """It refuses an interval that ends at NaN, on which scipy never ends."""
    for path in [*PACKAGE.rglob("*.py"), *(ROOT / "scripts").rglob("*.py")]:
        if path != PACKAGE / "integration" / "initial_value.py":
            assert "solve_ivp" not in path.read_text(), f"{path.relative_to(ROOT)} does not use integration.initial_value"


LONGEST_SCRIPT = 170
"""Lines: what a reader takes in of one experiment section."""


def test_a_script_is_short_and_only_its_cells_and_its_gathering_take_all_parameters():
    for path in sorted((ROOT / "scripts").glob("*/*.py")):
        lines = path.read_text().count("\n")
        assert lines <= LONGEST_SCRIPT, f"{path.relative_to(ROOT)} has {lines} lines; its mathematics belongs into the package"
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name not in ("cell", "gather"):
                taken = [ast.unparse(argument.annotation) for argument in node.args.args if argument.annotation]
                assert "Parameters" not in taken, (
                    f"{path.relative_to(ROOT)}: {node.name} takes all parameters; name those it needs"
                )
