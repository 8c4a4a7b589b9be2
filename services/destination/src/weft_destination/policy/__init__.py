"""AccessPolicies: who may call whom, compiled to one list of rules for each port of a pod. Pure.

`read` (objects to values) → `table` (what holds at a port) → `wire` (as discovery/v1 tells it) and `evaluate` (what it
says of one call). `state` keeps the facts and knows which pods a change touches.
"""
