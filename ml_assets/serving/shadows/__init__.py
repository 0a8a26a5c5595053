"""The process that scores beside: what it is sent and tells, its own end, and the server's handle of it.

Which requests are scored beside, and when there is such a process at all, is in `shadowing`.
"""
