"""How far a partition is from what the champion was trained on.

`profile` is the reference (made by `profiling`, counted in `bins`); `column` judges one column by `signals` and
`distances`, and `verdict` the partition by `policy`; `onset` tells abrupt from gradual, `pictures` shows it.
"""
