import copy
import json
from dataclasses import asdict
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_alias.errors import UsageError
from batch_alias.settings import Reading, Secret, Service, Settings

SHOWN = "s3cret-value"


def service(*urls: str, key: str = "an-app-key", secret: str = SHOWN, **more) -> Service:
    return Service(urls=urls or ("https://api.example.com",), app_key=key, app_secret=Secret(secret), **more)


def test_a_secret_shows_itself_to_nobody_but_who_asks():
    secret = Secret(SHOWN)
    assert secret.reveal() == SHOWN
    settings = Settings(source=Path("x.csv"), service=service())
    for shown in (repr(secret), str(secret), f"{secret!s:>30}", repr([secret]), repr(service()), repr(settings)):
        assert SHOWN not in shown


def test_settings_as_a_dictionary_do_not_show_the_secret():
    told = asdict(Settings(source=Path("x.csv"), service=service()))
    assert SHOWN not in repr(told)
    assert SHOWN not in json.dumps(told, default=repr)


def test_a_secret_is_a_value():
    assert Secret("a") == Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a"), Secret("b")}) == 2
    assert copy.deepcopy(service()) == service()


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"key": ""}, "RONGCLOUD_APP_KEY"),
        ({"key": "ключ"}, "RONGCLOUD_APP_KEY"),
        ({"key": "a\r\nb"}, "RONGCLOUD_APP_KEY"),
        ({"key": " key"}, "RONGCLOUD_APP_KEY"),
        ({"key": "key "}, "RONGCLOUD_APP_KEY"),
        ({"secret": ""}, "RONGCLOUD_APP_SECRET"),
        ({"secret": SHOWN + "\n"}, "RONGCLOUD_APP_SECRET"),
        ({"secret": " " + SHOWN}, "RONGCLOUD_APP_SECRET"),
        ({"secret": SHOWN + "\udcff"}, "RONGCLOUD_APP_SECRET"),
    ],
)
def test_credentials_that_cannot_be_meant_are_refused_without_saying_them(given, named):
    with pytest.raises(UsageError) as refused:
        service(**given)
    assert named in str(refused.value)
    assert SHOWN not in str(refused.value)


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
        "http://api.example.com",
        "http://127.0.0.2.example.com",
        "http://localhost.example.com",
    ],
)
def test_a_url_that_cannot_be_meant_is_refused(url):
    with pytest.raises(UsageError) as refused:
        service(url)
    assert "hush" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "https://api.example.com",
        "https://api.example.com/",
        "https://api.example.com:8443/rong/cloud",
        "https://[2001:db8::1]:8443",
        "http://127.0.0.1:8100",
        "http://localhost:8100",
        "http://[::1]:8100",
    ],
)
def test_a_url_of_a_host_and_a_path_is_taken(url):
    assert service(url).urls == (url,)


@given(url=st.from_regex(r"\Ahttps?://[ -~é中]{0,20}\Z") | st.text(max_size=20))
def test_whatever_url_is_taken_can_be_sent_to(url):
    try:
        taken = service(url, allow_http=True)
    except UsageError:
        return
    httpx.Request("POST", f"{taken.urls[0]}/group/remarks/set.json")
    assert taken.hosts


def test_an_unencrypted_url_needs_to_be_said_twice():
    with pytest.raises(UsageError, match="--allow-http"):
        service("http://api.example.com")
    assert service("http://api.example.com", allow_http=True).hosts == "api.example.com"


def test_there_are_one_or_two_urls():
    assert service("https://a.example", "https://b.example").hosts == "a.example and b.example"
    for urls in ((), ("https://a.example",) * 3):
        with pytest.raises(UsageError, match=f"{len(urls)} URLs"):
            Service(urls=urls, app_key="k", app_secret=Secret("s"))


def test_an_app_key_is_masked_and_known_by_its_fingerprint():
    assert service(key="c9kqb3rdkbb8j").masked_key == "c9k…b8j"
    assert service(key="short").masked_key == "…"
    assert service(key="one").fingerprint == service(key="one", secret="other").fingerprint
    assert service(key="one").fingerprint != service(key="two").fingerprint


@pytest.mark.parametrize(
    "given",
    [
        {"rate": 0},
        {"rate": 10_001},
        {"max_in_flight": 0},
        {"max_in_flight": 4097},
        {"attempts": 0},
        {"attempts": 101},
        {"limit": 0},
        {"limit": -5},
        {"timeout": 0.0},
        {"timeout": 601.0},
        {"timeout": float("nan")},
        {"patience": -1.0},
        {"patience": float("inf")},
        {"max_rejected": 1.01},
        {"max_rejected": -0.01},
        {"max_failed": float("nan")},
    ],
)
def test_a_number_out_of_its_range_is_refused_by_its_flag(given):
    with pytest.raises(UsageError) as refused:
        Settings(source=Path("x.csv"), **given)
    (name,) = given
    assert f"--{name.replace('_', '-')}" in refused.value.problem
    assert refused.value.advice
    assert refused.value.exit_code == 2


def test_the_ends_of_the_ranges_are_in_them():
    least = {"rate": 1, "max_in_flight": 1, "attempts": 1, "timeout": 0.1, "limit": 1, "patience": 0.0}
    most = {"rate": 10_000, "max_in_flight": 4096, "attempts": 100, "timeout": 600.0, "limit": 2**62}
    for numbers in (least | {"max_rejected": 0.0, "max_failed": 0.0}, most | {"max_rejected": 1.0, "max_failed": 1.0}):
        settings = Settings(source=Path("x.csv"), **numbers)
        assert {name: getattr(settings, name) for name in numbers} == numbers


def test_the_sandbox_and_a_real_service_exclude_each_other():
    with pytest.raises(UsageError):
        Settings(source=Path("x.csv"), sandbox=True, service=service())


def test_a_job_lives_beside_where_it_is_run_unless_it_is_named():
    assert Settings(source=Path("/data/nicknames.v2.csv")).job_folder == Path("nicknames.v2.aliases")
    assert Settings(source=Path("x.csv"), job=Path("/jobs/1")).job_folder == Path("/jobs/1")
    assert Settings(job=Path("/jobs/1")).job_folder == Path("/jobs/1")
    with pytest.raises(UsageError):
        Settings()


@pytest.mark.parametrize(
    ("delimiter", "separator"),
    [(None, None), ("comma", ","), ("tab", "\t"), ("semicolon", ";"), ("pipe", "|"), (";", ";"), ("\t", "\t")],
)
def test_a_delimiter_is_a_name_or_a_character(delimiter, separator):
    assert Reading(delimiter=delimiter).separator == separator


@pytest.mark.parametrize(
    "given",
    [{"delimiter": "a"}, {"delimiter": '"'}, {"delimiter": ",,"}, {"delimiter": ""}, {"delimiter": "\n"}]
    + [{"encoding": name} for name in ("utf-99", "rot13", "", "\0", "base64")],
)
def test_a_reading_that_cannot_be_is_refused(given):
    with pytest.raises(UsageError):
        Reading(**given)


@pytest.mark.parametrize("encoding", ["utf-8", "UTF_16", "gb18030", "big5", "latin-1"])
def test_encodings_have_the_names_that_python_knows(encoding):
    assert Reading(encoding=encoding).encoding == encoding
