import pytest

from batch_alias.errors import SourceError
from batch_alias.settings import Reading
from batch_alias.sources.columns import KNOWN_NAMES, Role, find_columns, fold, roles


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
def test_known_names_are_found_in_any_spelling(header):
    assert find_columns(header, Reading()).indexes == (0, 1, 2)


def test_columns_are_found_in_any_order_among_others():
    columns = find_columns(("no", "备注", "created", "groupId", "userId"), Reading())
    assert columns.indexes == (4, 3, 1)
    assert columns.names == ("userId", "groupId", "备注")
    assert [column.why for column in columns] == [f"its header is a known name for {role}" for role in roles(Reading())]


def test_each_known_name_is_folded_and_has_one_role():
    names = [name for role in Role for name in KNOWN_NAMES[role]]
    assert len(names) == len(set(names))
    assert [fold(name) for name in names] == names


@pytest.mark.parametrize("name", ["id", "name", "ID", "姓名", ""])
def test_ambiguous_names_are_not_known(name):
    with pytest.raises(SourceError, match="No column for userId"):
        find_columns((name, "groupId", "remark"), Reading())


def test_a_flag_names_a_column_whose_header_is_not_known():
    columns = find_columns(("id", "groupId", "name"), Reading(user_column="id", remark_column="Name"))
    assert columns.names == ("id", "groupId", "name")
    assert columns.user.why == "named by --user-column"


def test_an_exact_match_of_a_flag_goes_before_a_similar_one():
    columns = find_columns(("User ID", "user_id", "groupId", "remark"), Reading(user_column="user_id"))
    assert columns.user.index == 1


def test_a_column_that_a_flag_names_is_not_a_candidate_for_another_role():
    columns = find_columns(("userId", "group", "nick", "alias"), Reading(user_column="alias", remark_column="nick"))
    assert columns.indexes == (3, 1, 2)


POSITION = "--user-column: its header, letter or number"


@pytest.mark.parametrize(
    ("header", "reading", "message"),
    [
        (("userId", "uid", "groupId", "remark"), {}, "More than one column could be the userId: 'userId', 'uid'; the"),
        (("userId", "groupId", "昵称", "群昵称"), {}, "Name it with --remark-column"),
        (("userId", "groupId"), {}, "No column for remark was found; the columns are 'userId', 'groupId'"),
        (("userId", "groupId"), {}, "Name it with --remark-column: its header, letter or number"),
        (("userId", "userId", "groupId", "remark"), {}, r"'userId' occurs 2 times \(columns A, B\)"),
        (("a", "groupId", "remark"), {"user_column": "id"}, "No column is named 'id'; the columns are 'a', "),
        (("a\u200b", "groupId", "remark"), {}, r"the columns are 'a⟨U\+200B⟩', "),
        (("a", "groupId", "remark"), {"user_column": "a", "group_column": "a"}, "for two roles: 'a', 'a', 'remark'"),
        (("1", "2", "3"), {"no_header": True}, f"No column for userId .* {POSITION}"),
        (("1", "2", "3"), {"no_header": True, "user_column": "4"}, f"No column is named '4'; .* {POSITION}"),
    ],
)
def test_columns_that_are_not_clear_are_an_error_that_lists_them(header, reading, message):
    with pytest.raises(SourceError, match=message):
        find_columns(header, Reading(**reading))
