"""The drill: real faults at moments drawn by a seed, and what must hold after each of them.

`python -m tests.chaos` builds small projects once, breaks commands that work on them, lets them go on,
and compares with an undisturbed one: the same bits, nothing lost, nothing half-written, no process
and no lock left. A record file keeps what was done, so that a second start goes on.
"""
