"""The command line of the weft service mesh."""


def version() -> str:
    """The CLI's version."""
    from importlib.metadata import version as installed

    return installed("weft")
