"""Faults of profiles are told once."""

import pytest
from structlog.testing import capture_logs
from weft_destination.index import Index
from weft_destination.watches import Profiles
from weft_kube.objects import Meta, ServiceProfile

KEY = ("shop", "web.shop.svc.cluster.local")
WHOLE = ServiceProfile(Meta(KEY[1], KEY[0]), {"routes": []})
BROKEN = ServiceProfile(Meta(KEY[1], KEY[0]), {"routes": 7})


@pytest.fixture
def profiles() -> Profiles:
    """A feed into an empty index."""
    index = Index()
    return Profiles(index.profiles, lambda: None, index.reports)


def test_faults_are_told_once(profiles: Profiles) -> None:
    """However often a list or a watch brings the profile."""
    with capture_logs() as logs:
        profiles.reset([profiles.read(BROKEN)])
        profiles.apply(profiles.read(BROKEN))
        profiles.reset([profiles.read(BROKEN)])
    assert [log["event"] for log in logs] == ["profile has faults"]


@pytest.mark.parametrize("gone", ["deleted", "listed", "repaired"])
def test_faults_that_come_back_are_told_again(profiles: Profiles, gone: str) -> None:
    """Deleted, missing in a list, or whole in between; nothing is kept of what is gone."""
    with capture_logs() as logs:
        profiles.apply(profiles.read(BROKEN))
        {
            "deleted": lambda: profiles.delete(KEY),
            "listed": lambda: profiles.reset([]),
            "repaired": lambda: profiles.apply(profiles.read(WHOLE)),
        }[gone]()
        profiles.apply(profiles.read(BROKEN))
    assert [log["event"] for log in logs] == ["profile has faults"] * 2
