"""Those who meet in the benchmarks, a module each, with its steps in `STEPS`: name -> f(month folder, out folder).

A step reads files of the month (`benchmarks.month` names them) and writes those that `benchmarks.agreement` looks
at. Each does the work as somebody who knows the library well would, and takes the fastest way known. Imports at
the top of a module are not measured. `gx` runs in an environment of its own, with its library, pandas and pyarrow
only.
"""
