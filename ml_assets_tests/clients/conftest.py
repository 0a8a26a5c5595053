"""The scripts here run in `.venv-clients`, each in a process of its own; they are no tests."""

collect_ignore_glob = ["*.py"]
