"""The program inside a container: a supervisor as PID 1 and one process per agent.

It knows nothing of the rest of the project and needs nothing but Python's standard library.
Inside the image it is the package `worker`; bare on the host, for overhead baselines, it is `live.worker`.
Imports are kept to what the interpreter holds anyway: every module costs the container memory and start time
(`json` and `signal` alone, which pull in `re` and `enum`, would add 1.1 MB and 20 ms of CPU).
"""
