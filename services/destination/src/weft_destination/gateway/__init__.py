"""HTTPRoutes and GRPCRoutes that are attached to Services (Gateway API v1, GEP-1294), compiled to ordered rules. Pure.

`read` (objects to values; `fields`, `filters`) → `attach` (which ports) → `compiled` (the rules of a Service and its
clients in order, and what status says) → `routes` (as proxies are told); `store` keeps all of it up to date, change by
change. Routes hold for the Service that a client dials, not for a backend again: no cycles.
"""
