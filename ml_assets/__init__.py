"""Keeps machine-learning models on tabular data in production by itself. Where do I go to …

- add a table or a problem?              `defs/<name>/defs.yaml`, or `dg scaffold defs`
- change a rule of the data?             `defs/<table>/schema.py`
- add a feature?                         `defs/<pipeline>/features.py`
- see what YAML may say?                 `config`
- change how rows are checked or split?  `core.validation`, `core.rules`, `core.split`
- change how a model is trained, saved?  `core.training`, `core.parameters`, `core.bundle`
- change what is released, and why?      `core.promotion`; what the ledger means is in `core.releases`
- change an asset?                       `assets`, one module per group; jobs are in `jobs`, sensors in `sensors`
- add a kind of source?                  `resources.sources`
- move where things are stored?          `resources.settings`
- see what the demo does?                `replay`, then `demo`
"""
