"""Kinds of model, one module each; every one is saved as text or ONNX, none as a pickle.

Where do I go to … change how trees are grown: `trees`; add a kind of model: a module with a `FittedModel` and an
entry in `kinds`. What a released model is as a whole, is in `ml_assets.core.bundle`.
"""
