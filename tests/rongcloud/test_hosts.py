from batch_alias.rongcloud.hosts import Hosts

ONE, TWO = "https://one.example", "https://two.example"


def test_the_primary_is_used_until_it_is_unhealthy():
    hosts = Hosts((ONE, TWO))
    assert hosts.current == ONE
    assert hosts.report_unhealthy(ONE, now=0.0)
    assert (hosts.current, hosts.switches) == (TWO, 1)


def test_a_late_response_of_a_host_no_longer_in_use_changes_nothing():
    hosts = Hosts((ONE, TWO))
    hosts.report_unhealthy(ONE, now=0.0)
    assert not hosts.report_unhealthy(ONE, now=100.0)
    assert hosts.current == TWO


def test_two_switches_are_thirty_seconds_apart():
    hosts = Hosts((ONE, TWO))
    hosts.report_unhealthy(ONE, now=1000.0)
    assert not hosts.report_unhealthy(TWO, now=1029.9)
    assert hosts.report_unhealthy(TWO, now=1030.0)
    assert (hosts.current, hosts.switches) == (ONE, 2)


def test_the_probes_of_an_outage_alternate_regardless_of_the_interval():
    hosts = Hosts((ONE, TWO))
    for number, (left, other) in enumerate(2 * [("one.example", TWO), ("two.example", ONE)]):
        assert hosts.alternate(left, now=0.1 * number)
        assert hosts.current == other
    assert hosts.switches == 4


def test_a_probe_that_already_switched_the_host_does_not_switch_back():
    hosts = Hosts((ONE, TWO))
    hosts.alternate("one.example", now=0.0)
    assert hosts.report_unhealthy(TWO, now=40.0)
    assert not hosts.alternate("two.example", now=40.0)
    assert (hosts.current, hosts.switches) == (ONE, 2)


def test_a_single_host_is_never_switched():
    hosts = Hosts((ONE,))
    assert not hosts.report_unhealthy(ONE, now=0.0)
    assert not hosts.alternate("one.example", now=100.0)
    assert (hosts.current, hosts.switches) == (ONE, 0)


def test_a_slash_at_the_end_of_a_url_makes_no_difference():
    hosts = Hosts((f"{ONE}/api/", f"{TWO}/"))
    assert hosts.current == f"{ONE}/api"
    assert hosts.report_unhealthy(f"{ONE}/api", now=0.0)
    assert hosts.current == TWO
