"""The scripts here run in `.venv-clients` or `.venv-clients-hosted`, each in its own process; they are no tests."""

collect_ignore_glob = ["*.py"]
