"""How far a partition is from what the champion was trained on.

`profile` is the reference (made by `profiling`, counted in `bins`, put into a bundle by `reference`); `column` judges
one column by `signals` and `distances`, and `verdict` the partition by `policy`; `watched` makes the record of a
partition that a champion has scored; `onset` tells abrupt from gradual, `pictures` shows it.
"""
