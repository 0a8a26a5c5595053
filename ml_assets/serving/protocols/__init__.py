"""What clients say and how they are answered, one module per protocol; none knows of models or of routing.

A module holds `EXPOSED`, a tuple of `serving.http.Exposed`, and translates: bytes to named columns, an `Answer` of
the data plane to bytes. What is wrong with a request is raised as a `RequestRefused` and told by `serving.http`.
"""
