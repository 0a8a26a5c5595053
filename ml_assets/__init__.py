"""Keeps machine-learning models on tabular data in production by itself. Where do I go to …

- add a table or a problem?              `defs/<name>/defs.yaml`, or `dg scaffold defs`
- change a rule of the data?             `defs/<table>/schema.py`
- change what a partition may look like? `quality` in `defs.yaml`; what its checks decide is in `core.quality`, `checks`
- add a feature?                         `defs/<pipeline>/features.py`
- see how history is computed?           `core.history`, then `core.rolling`
- see what YAML may say?                 `config`
- change how rows are checked?           `core.validation`, `core.rules`
- change how rows are divided?           `core.time_split`, `core.share_split`; what is refused is in `core.soundness`
- change how a model is trained, saved?  `core.models`, `core.parameters`, `core.bundle`
- change what is released, and why?      `core.promotion`; what the ledger means is in `core.releases`
- change how a candidate takes traffic?  `core.rollout`; who answers is in `core.routing`, then `serving`
- change an asset?                       `assets`, one module per group; jobs are in `jobs`, sensors in `sensors`
- add a kind of source?                  `resources.sources`
- see how a request becomes features?    `core.requests`, `core.online_features`, `core.history_snapshot`; `served`
- see what was answered, and why?        `explain_request`; the log is in `serving.prediction_log`, `assets.served`
- see what a model learnt from, again?   `explain`, `restore`; DVC is behind `resources.versioning`
- change how requests are answered?      `serving`, `serving.building`; what clients say, in `serving.protocols`
- move where things are stored?          `resources.settings`
- see what becomes of killed runs?       `dead_runs`
- see what the demo does?                `replay`, then `demo`
"""
