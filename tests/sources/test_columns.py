import pytest

from batch_alias.errors import SourceError
from batch_alias.settings import Reading
from batch_alias.sources.columns import KNOWN_NAMES, Role, find_columns, fold


@pytest.mark.parametrize(
    "header",
    [
        ("userId", "groupId", "remark"),
        ("USER_ID", "Group ID", "Nick-Name"),
        ("uid", "gid", "alias"),
        ("用户ID", "群组ID", "备注"),
        ("用户id", "群ID", "群昵称"),
        ("成员ID", "群 ID", "推送备注"),
        ("\ufeffuserId", "group\u200bId", "ＲＥＭＡＲＫ"),
    ],
)
def test_headers_are_known_however_people_write_them(header):
    assert find_columns(header, Reading()).indexes == (0, 1, 2)


def test_columns_may_stand_in_any_order_among_others():
    columns = find_columns(("no", "备注", "created", "groupId", "userId"), Reading())
    assert columns.indexes == (4, 3, 1)
    assert columns.names == ("userId", "groupId", "备注")


def test_no_known_name_serves_two_roles_and_all_are_written_as_they_are_looked_up():
    everything = [name for role in Role for name in KNOWN_NAMES[role]]
    assert len(everything) == len(set(everything))
    assert [fold(name) for name in everything] == everything


@pytest.mark.parametrize("name", ["id", "name", "ID", "姓名", ""])
def test_names_that_could_be_anything_are_never_taken(name):
    with pytest.raises(SourceError, match="No column for userId"):
        find_columns((name, "groupId", "remark"), Reading())


def test_a_flag_names_a_column_that_no_rule_would_find():
    columns = find_columns(("id", "groupId", "name"), Reading(user_column="id", remark_column="Name"))
    assert columns.names == ("id", "groupId", "name")
    assert columns.user.why == "named by --user-column"


def test_an_exact_match_of_a_flag_goes_before_a_loose_one():
    columns = find_columns(("User ID", "user_id", "groupId", "remark"), Reading(user_column="user_id"))
    assert columns.user.index == 1


def test_a_column_that_a_flag_gave_to_one_role_is_not_a_candidate_for_another():
    columns = find_columns(("userId", "group", "nick", "alias"), Reading(user_column="alias", remark_column="nick"))
    assert columns.indexes == (0 + 3, 1, 2)


@pytest.mark.parametrize(
    ("header", "reading", "says"),
    [
        (("userId", "uid", "groupId", "remark"), {}, "More than one column could be the userId: 'userId', 'uid'"),
        (("userId", "groupId", "昵称", "群昵称"), {}, "--remark-column"),
        (("userId", "groupId"), {}, "No column for remark was found; the columns are 'userId', 'groupId'"),
        (("userId", "userId", "groupId", "remark"), {}, r"'userId' is there 2 times \(columns 1 and 2\)"),
        (("a", "groupId", "remark"), {"user_column": "b"}, "No column is named 'b'; the columns are 'a', "),
        (("a", "groupId", "remark"), {"user_column": "a", "group_column": "a"}, "named for two things"),
    ],
)
def test_what_is_not_clear_is_asked_and_the_columns_are_named(header, reading, says):
    with pytest.raises(SourceError, match=says):
        find_columns(header, Reading(**reading))
