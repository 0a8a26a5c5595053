"""The model server: protocols, data plane, router and log, apart from one another.

Here is what speaks HTTP or holds loaded models; what decides (routing, rollouts, encoding of a row) is pure and in
`core`, what is stored is behind `resources`. Nothing here imports Dagster: a server starts in a second.
"""
