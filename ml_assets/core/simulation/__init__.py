"""Simulated yellow-taxi trips that behave like the real ones of New York, from figures measured on them.

Where do I go to …?

- make a month: `generate` (`simulate_batches`, `simulate_month`)
- read the table of measured figures: `calibration` (`load_calibration`)
- add drift of my own on top: `injections`
- know what a detector should find: `truth` (`ground_truth`)
- change where trips go, how far and how long: `trips`; what they cost: `money`; what is wrong: `dirt`
- measure the figures anew from TLC files: `fit_table`, called by `scripts/calibrate_simulation.py`;
  it is made of `fit_zones` (a map of the zones), `fit_mix` (who goes where, when), `fit_speed`, `fit_money`,
  `fit_months`, and `fit_match` (corrects their interplay)
"""
