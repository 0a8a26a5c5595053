"""How a promoted candidate takes the traffic: rules and states, what was observed, and what follows from it.

Pure: who reads the prediction log and writes to the ledger is in `ml_assets.assets.rollout` and `rollout_sensors`.
"""
