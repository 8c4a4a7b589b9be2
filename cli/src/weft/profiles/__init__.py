"""ServiceProfiles from what describes a service: OpenAPI, protobuf, its live traffic."""
