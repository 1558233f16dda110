"""What papermill finds under `--engine isheep`: the runner's engine, whose kernels need no ports.

Jupyter gives a kernel ports that were free a moment ago; of many kernels started at once on one machine some get the
same ones and fail. Papermill loads this module with itself, so it imports the engine only when it is used.
"""

from typing import Any


class Engine:
    """Papermill's engine interface, passed on."""

    @staticmethod
    def execute_notebook(*args: Any, **options: Any) -> Any:
        """Execute a notebook in a kernel without ports."""
        return _engine().execute_notebook(*args, **options)

    @staticmethod
    def nb_kernel_name(*args: Any, **options: Any) -> str:
        """Name the notebook's kernel."""
        return _engine().nb_kernel_name(*args, **options)

    @staticmethod
    def nb_language(*args: Any, **options: Any) -> str:
        """Name the notebook's language."""
        return _engine().nb_language(*args, **options)


def _engine() -> Any:
    from isheep_lib.iterate.runner import TruthfulEngine

    return TruthfulEngine
