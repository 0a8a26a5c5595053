"""Processes that do the same at once, forked from one that has imported what they need.

Each would otherwise import for two seconds what it then does in milliseconds. For processes that need an environment
of their own, or are started as a user starts them, this is not.
"""

import multiprocessing
from multiprocessing.context import ForkServerContext

# Nothing of it starts a thread when it is imported: such a thread would be missing after the fork.
IMPORTED_ONCE = [
    "optuna", "psycopg2", "pytest", "sqlalchemy.dialects.postgresql", "ml_assets.resources.ledger",
    "ml_assets.resources.studies", "ml_assets_tests.postgres", "ml_assets_tests.serving.running",
]  # fmt: skip


def forked() -> ForkServerContext:
    """Where such processes are made; the one that they come from is started once, and ends with the tests."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(IMPORTED_ONCE)
    return context
