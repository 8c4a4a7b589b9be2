"""What is injected, and what with."""

from weft_testkit.pods import bare_pod, deployment_pod, template

__all__ = ["bare_pod", "deployment_pod", "template"]
