"""Kinds of problem: what a label is as a number, and what a prediction of it looks like.

Labels are stored as Float64. Of a classification they are positions in the list of classes, 0.0, 1.0, …; the
prediction of a binary problem is the probability of the second class, float64 `[rows]`, that of a multiclass
problem one probability per class, float64 `[rows, classes]`, which sum to 1.
"""

from typing import Literal

Task = Literal["regression", "binary", "multiclass"]
