"""Side-by-side measurements, as ratios: `make bench`. Never part of the tests: times depend on the machine."""
