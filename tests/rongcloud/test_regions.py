import pytest

from batch_alias.errors import UsageError
from batch_alias.rongcloud.regions import REGIONS, region_urls
from batch_alias.settings import Secret, Service

# RongCloud's documentation, "API domains".
DOCUMENTED = {
    "beijing": ("api.rong-api.com", "api-b.rong-api.com"),
    "singapore": ("api.sg-light-api.com", "api-b.sg-light-api.com"),
    "singapore-b": ("api.sg-b-light-api.com", "api-b.sg-b-light-api.com"),
    "north-america": ("api.us-light-api.com", "api-b.us-light-api.com"),
    "saudi-arabia": ("api.sau-light-api.com", "api-b.sau-light-api.com"),
}


def test_every_data_centre_has_the_hosts_that_are_documented():
    assert dict(REGIONS) == {name: tuple(f"https://{host}" for host in hosts) for name, hosts in DOCUMENTED.items()}


@pytest.mark.parametrize("name", DOCUMENTED)
def test_a_data_centre_makes_a_service(name):
    service = Service(urls=region_urls(name), app_key="k", app_secret=Secret("s"))
    assert service.hosts == " and ".join(DOCUMENTED[name])


def test_an_unknown_data_centre_is_refused_by_naming_the_known_ones():
    with pytest.raises(UsageError) as refused:
        region_urls("mars")
    assert "'mars'" in refused.value.problem
    assert all(name in refused.value.advice for name in DOCUMENTED)
