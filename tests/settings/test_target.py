import copy
import json
from dataclasses import asdict
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_alias.errors import ExitCode, UsageError
from batch_alias.settings import Settings
from batch_alias.settings.target import REGIONS, Secret, Target
from tests.support.http import SECRET


def test_a_secret_shows_itself_only_when_it_is_revealed(target):
    secret = Secret(SECRET)
    assert secret.reveal() == SECRET
    settings = Settings(source=Path("x.csv"), target=target())
    as_dictionary = asdict(settings)
    shown = [repr(secret), str(secret), f"{secret!s:>30}", repr([secret]), repr(target()), repr(settings)]
    for text in (*shown, repr(as_dictionary), json.dumps(as_dictionary, default=repr, ensure_ascii=False)):
        assert SECRET not in text
        assert "Secret(…)" in text


def test_a_secret_is_a_value(target):
    assert Secret("a") == Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a"), Secret("b")}) == 2
    assert copy.deepcopy(target()) == target()


def test_there_is_exactly_one_target(target):
    with pytest.raises(UsageError, match="No target"):
        target(url=None)
    for more in ({"sandbox": True}, {"region": "beijing"}):
        with pytest.raises(UsageError, match="More than one target") as raised:
            target(**more)
        assert "--url" in raised.value.problem
        assert f"--{next(iter(more))}" in raised.value.problem


def test_the_sandbox_needs_no_credentials():
    sandbox = Target(sandbox=True)
    assert (sandbox.urls, sandbox.name, sandbox.fingerprint) == ((), "the sandbox", "- the sandbox")


@pytest.mark.parametrize(
    "given",
    [
        {"region": "beijing"},
        {"region": "saudi-arabia", "no_proxy": True},
        {"url": "http://a.example.com,http://b.example.com", "allow_http": True},
        {"url": "https://a.example.com", "ca_bundle": Path("/etc/ca.pem")},
    ],
)
def test_an_address_makes_the_same_target_with_the_same_credentials(given, target):
    made = target(**{"url": None} | given)
    address = made.address
    assert address == json.loads(json.dumps(given, default=str))
    if "ca_bundle" in address:
        address["ca_bundle"] = Path(address["ca_bundle"])
    assert target(**{"url": None} | address) == made


def test_an_address_does_not_depend_on_the_current_folder(target):
    assert target(ca_bundle=Path("ca.pem")).address["ca_bundle"] == str(Path.cwd() / "ca.pem")


@pytest.mark.parametrize("region", REGIONS)
def test_a_region_has_two_hosts_of_its_own_behind_https(region, target):
    chosen = target(url=None, region=region)
    primary, backup = (urlsplit(url) for url in chosen.urls)
    assert primary.scheme == backup.scheme == "https"
    # The backup is the same name with "-b", so that one region's requests never go to another's data.
    assert primary.netloc.split(".", 1)[1] == backup.netloc.split(".", 1)[1]
    assert (primary.netloc.split(".")[0], backup.netloc.split(".")[0]) == ("api", "api-b")
    others = {url for name in REGIONS if name != region for url in REGIONS[name]}
    assert not others & set(chosen.urls)
    assert chosen.name == f"{primary.netloc} and {backup.netloc}"


def test_an_unknown_region_is_refused_with_the_known_ones(target):
    with pytest.raises(UsageError, match="--region is 'mars'") as raised:
        target(url=None, region="mars")
    assert all(region in raised.value.advice for region in REGIONS)


@pytest.mark.parametrize(
    ("given", "variable"),
    [
        ({"key": ""}, "RONGCLOUD_APP_KEY"),
        ({"key": "ключ"}, "RONGCLOUD_APP_KEY"),
        ({"key": "a\r\nb"}, "RONGCLOUD_APP_KEY"),
        ({"key": " key"}, "RONGCLOUD_APP_KEY"),
        ({"key": "key "}, "RONGCLOUD_APP_KEY"),
        ({"secret": ""}, "RONGCLOUD_APP_SECRET"),
        ({"secret": SECRET + "\n"}, "RONGCLOUD_APP_SECRET"),
        ({"secret": " " + SECRET}, "RONGCLOUD_APP_SECRET"),
        ({"secret": SECRET + "\udcff"}, "RONGCLOUD_APP_SECRET"),
    ],
)
def test_malformed_credentials_are_refused_without_showing_them(given, variable, target):
    with pytest.raises(UsageError) as raised:
        target(**given)
    assert variable in raised.value.advice
    assert SECRET not in str(raised.value)
    assert raised.value.exit_code == ExitCode.USAGE


def test_a_secret_may_have_characters_outside_ascii(target):
    assert target(secret="密").app_secret == Secret("密")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "api.example.com",
        "ftp://api.example.com",
        "https://",
        "https:///path",
        "https://[::1",
        "https://api.example.com:port",
        "https://api.example.com:99999",
        "https://api .example.com",
        "https://api.example.com/a b",
        "https://user@api.example.com",
        "https://user:hush@api.example.com",
        "https://:hush@api.example.com",
        "https://api.example.com?x=1",
        "https://api.example.com#top",
        "https://api.example.com/path?",
        "https://api.example.com,",
        "https://a.example,https://b.example,https://c.example",
        "http://api.example.com",
        "http://127.0.0.2.example.com",
        "http://localhost.example.com",
    ],
)
def test_a_malformed_url_is_refused(url, target):
    with pytest.raises(UsageError) as raised:
        target(url)
    assert "hush" not in str(raised.value)


@pytest.mark.parametrize(
    "url",
    [
        "https://api.example.com",
        "https://api.example.com/",
        "https://api.example.com:8443/rong/cloud",
        "https://[2001:db8::1]:8443",
        "http://127.0.0.1:8100",
        "http://127.8.9.10:8100",
        "http://localhost:8100",
        "http://[::1]:8100",
    ],
)
def test_a_url_of_a_host_and_a_path_is_taken(url, target):
    assert target(url).urls == (url,)


def test_a_url_may_have_a_backup(target):
    pair = target("https://a.example, https://b.example:8443")
    assert pair.urls == ("https://a.example", "https://b.example:8443")
    assert pair.name == "a.example and b.example:8443"


@given(url=st.from_regex(r"\Ahttps?://[ -~é中]{0,20}\Z") | st.text(max_size=20))
def test_every_url_that_is_taken_can_be_sent_to(url, target):
    try:
        taken = target(url, allow_http=True)
    except UsageError:
        return
    assert taken.name
    for base in taken.urls:
        httpx.Request("POST", f"{base}/group/remarks/set.json")


def test_an_unencrypted_url_needs_a_flag(target):
    with pytest.raises(UsageError, match="--allow-http"):
        target("http://api.example.com")
    assert target("http://api.example.com", allow_http=True).name == "api.example.com"


def test_an_app_key_is_masked(target):
    assert target(key="c9kqb3rdkbb8j").masked_key == "c9k…b8j"
    assert target(key="short").masked_key == "…"


def test_app_hosts_and_paths_identify_a_target_whatever_the_order_or_the_secret(target):
    one = target("https://a.example/path,https://b.example", key="one").fingerprint
    assert (
        one
        == target("http://B.example, https://a.example/path/", key="one", secret="other", allow_http=True).fingerprint
    )
    assert one != target("https://a.example,https://b.example", key="two").fingerprint
    assert one != target("https://a.example/path", key="one").fingerprint
    assert one != target("https://a.example/mock,https://b.example", key="one").fingerprint
    assert "one" not in one


def test_a_region_is_identified_by_its_name():
    regions = [Target(region=name, app_key="key", app_secret=Secret("s")).fingerprint for name in REGIONS]
    assert len(set(regions)) == len(REGIONS)
    assert regions[0].endswith("the region beijing")
