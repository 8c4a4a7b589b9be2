"""HTTPRoutes and GRPCRoutes that are attached to Services (Gateway API v1, GEP-1294), compiled to ordered rules. Pure.

`read` (objects to values) → `attach` (which Services and ports) → `compiled` (who gets which rules, in which order, and
the status of every parent). Routes hold for the Service that a client dials, not for a backend again: no cycles.
"""
