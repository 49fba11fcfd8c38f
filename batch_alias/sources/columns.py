"""Which column is which: header names are matched, never guessed.

A name counts for a role only if people use it for nothing else in such a file. That is why "id" and "name" are not
in the table: a file with an "id" column would lend it to whichever role asked first. Two columns that fit one role
are a question for a person, not for a rule.
"""

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

from batch_alias.errors import SourceError
from batch_alias.settings import Reading
from batch_alias.sources.excerpts import excerpt, listing


class Role(StrEnum):
    """What a column is for; the value is the name RongCloud gives the field."""

    USER = "userId"
    GROUP = "groupId"
    REMARK = "remark"


# Names as `fold` leaves them: no case, no spaces, no "_" or "-".
KNOWN_NAMES: dict[Role, frozenset[str]] = {
    Role.USER: frozenset(
        {
            *("userid", "uid", "user", "useridentifier", "usercode", "useruid", "rcuserid", "rongcloudid", "imuserid"),
            *("memberid", "member", "memberuserid", "groupmemberid"),
            *("用户id", "用户", "用户编号", "用户标识", "用户uid", "成员id", "成员", "成员编号", "成员用户id"),
            *("会员id", "会员编号", "群成员id", "融云id", "融云用户id", "用戶id", "用戶", "成員id", "成員", "會員id"),
        }
    ),
    Role.GROUP: frozenset(
        {
            *("groupid", "gid", "group", "groupidentifier", "groupcode", "groupgid", "rcgroupid", "imgroupid"),
            *("chatgroupid", "groupchatid"),
            *("群组id", "群组", "群id", "群", "群组编号", "群编号", "群号", "群聊id", "群聊", "群标识", "群组标识"),
            *("融云群id", "融云群组id", "群組id", "群組", "群組編號"),
        }
    ),
    Role.REMARK: frozenset(
        {
            *("remark", "remarks", "alias", "nickname", "nick", "pushalias", "pushremark", "pushname", "groupalias"),
            *("groupnickname", "groupremark", "memberalias", "useralias", "remarkname", "aliasname"),
            *("备注", "备注名", "群昵称", "昵称", "别名", "推送备注", "推送备注名", "推送别名", "推送昵称", "群备注"),
            *("群成员昵称", "群内昵称", "群名片", "成员昵称", "成员备注", "群成员备注"),
            *("備註", "備註名", "備注", "群暱稱", "暱稱", "別名", "推送備註"),
        }
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of the source that was taken for a role.

    Attributes:
        index: Its place, from 0.
        name: Its header, as the source writes it.
        why: How it was found, for people.
    """

    index: int
    name: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """The three columns of a source.

    Attributes:
        user: The column of the user ids.
        group: The column of the group ids.
        remark: The column of the aliases.
    """

    user: Column
    group: Column
    remark: Column

    def __iter__(self) -> Iterator[Column]:
        return iter((self.user, self.group, self.remark))

    @property
    def indexes(self) -> tuple[int, int, int]:
        """The places of user, group and remark, from 0."""
        return self.user.index, self.group.index, self.remark.index

    @property
    def names(self) -> tuple[str, str, str]:
        """The headers of user, group and remark, as the source writes them."""
        return self.user.name, self.group.name, self.remark.name


def fold(name: str) -> str:
    """A header without what people vary in it: case, width, white space, ``_``, ``-`` and what cannot be seen."""
    return "".join(
        character
        for character in unicodedata.normalize("NFKC", name).casefold()
        if character not in "_-" and not character.isspace() and unicodedata.category(character) not in {"Cf", "Cc"}
    )


def numbered(width: int) -> tuple[str, ...]:
    """The header of a source without one: its columns' numbers, from 1."""
    return tuple(str(number) for number in range(1, width + 1))


def roles_named(header: tuple[str, ...], reading: Reading) -> int:
    """How many of the three roles have at least one column in this header; a measure of how well a header was read."""
    return sum(bool(_candidates(header, role, reading)) for role in Role)


def find_columns(header: tuple[str, ...], reading: Reading) -> Columns:
    """Tell which column is which.

    Args:
        header: The source's column names, surrounding white space removed.
        reading: The columns a person named, if any.

    Returns:
        The three columns.

    Raises:
        SourceError: A role has no column, or more than one, or two roles have the same.
    """
    user, group, remark = (_find(header, role, reading) for role in Role)
    if len({user.index, group.index, remark.index}) < len(Role):
        raise SourceError(
            f"One column was named for two things: {listing((user.name, group.name, remark.name))}.",
            "Name three different columns with --user-column, --group-column and --remark-column.",
        )
    return Columns(user=user, group=group, remark=remark)


def flag(role: Role) -> str:
    """The flag that names a role's column."""
    match role:
        case Role.USER:
            return "--user-column"
        case Role.GROUP:
            return "--group-column"
        case Role.REMARK:
            return "--remark-column"
        case _:
            assert_never(role)


def _named(role: Role, reading: Reading) -> str | None:
    match role:
        case Role.USER:
            return reading.user_column
        case Role.GROUP:
            return reading.group_column
        case Role.REMARK:
            return reading.remark_column
        case _:
            assert_never(role)


def _candidates(header: tuple[str, ...], role: Role, reading: Reading) -> list[int]:
    wanted = _named(role, reading)
    if wanted is not None:
        exact = [index for index, name in enumerate(header) if name == wanted.strip()]
        return exact or [index for index, name in enumerate(header) if name and fold(name) == fold(wanted)]
    # A column that a person gave to another role is spoken for.
    spoken_for = {
        index
        for other in Role
        if other is not role and _named(other, reading) is not None
        for index in _candidates(header, other, reading)
    }
    return [index for index, name in enumerate(header) if fold(name) in KNOWN_NAMES[role] and index not in spoken_for]


def _find(header: tuple[str, ...], role: Role, reading: Reading) -> Column:
    wanted = _named(role, reading)
    match _candidates(header, role, reading):
        case [index]:
            why = f"named by {flag(role)}" if wanted is not None else f"its header is a known name for {role}"
            return Column(index=index, name=header[index], why=why)
        case []:
            problem = (
                f"No column is named {excerpt(wanted)}" if wanted is not None else f"No column for {role} was found"
            )
            or_else = f", or rename its header to {role}" if reading.header else " NUMBER, counted from 1"
            raise SourceError(
                f"{problem}; the columns are {listing(header)}.", f"Say which it is with {flag(role)}{or_else}."
            )
        case several:
            names = tuple(header[index] for index in several)
            if len(set(names)) == 1:
                places = " and ".join(str(index + 1) for index in several)
                raise SourceError(
                    f"The column {excerpt(names[0])} is there {len(several)} times (columns {places}).",
                    f"Rename the one that is not the {role}.",
                )
            raise SourceError(
                f"More than one column could be the {role}: {listing(names)}; the columns are {listing(header)}.",
                f"Say which it is with {flag(role)}.",
            )
