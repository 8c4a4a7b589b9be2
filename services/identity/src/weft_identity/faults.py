"""What a request to Kubernetes may fail with."""

import msgspec
from weft_kube.api import ApiError

FAILURES = (ApiError, OSError, TimeoutError, msgspec.DecodeError)
