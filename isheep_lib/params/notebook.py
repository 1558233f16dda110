"""A notebook's parameters, read off its globals and its history of cells.

Covers finding them, misspelt ones included. Does not cover checking them (`iterate.run_params`).
"""

import ast
from typing import Any

from isheep_lib.params.kinds import Section


def cell_values(names: dict[str, Any], kind: type[Section]) -> dict[str, Any]:
    """Pick a notebook's parameters among its globals: every known name, and whatever else its parameter cells assigned.

    The history finds misspelt names; a front end that keeps none (nbval) loses that, and nothing else.
    """
    assigned = {name for source in names.get("In", []) for name in _parameter_names(source, kind)}
    return {name: names[name] for name in [*kind.model_fields, *sorted(assigned - set(kind.model_fields))] if name in names}


def _parameter_names(source: str, kind: type[Section]) -> list[str]:
    """Name what a cell assigns, if it is a parameters cell: literals only, and papermill's comment or a known name."""
    targets = []
    try:
        for node in ast.parse(source).body:
            if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None:
                return []  # another statement
            ast.literal_eval(node.value)
            targets.append(node.target if isinstance(node, ast.AnnAssign) else node.targets[0])
    except (SyntaxError, ValueError):  # a magic, or a computed value
        return []
    found = [target.id for target in targets if isinstance(target, ast.Name)]
    return found if source.startswith("# Parameters") or set(found) & set(kind.model_fields) else []
