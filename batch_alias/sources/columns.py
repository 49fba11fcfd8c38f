"""The columns of a source: of the user ids, the group ids, the aliases and, if named, the aliases expected to be set.

Columns are found by the names in the header, never by content, and by position only if the user says so. A name is
known for a role only if it is used for nothing else in such files: "id" and "name" are not known, because they could be
any of the three.
"""

import re
import shlex
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from batch_alias.errors import SourceError
from batch_alias.problems import RowProblem
from batch_alias.settings import Reading
from batch_alias.text import N_, Message, _, enumeration, listing, quoted

CHUNK_ROWS = 10_000
CHUNK_CHARACTERS = 4 * 1024 * 1024
"""A chunk ends with the row that reaches either."""


class Role(StrEnum):
    """What a column is for; the value is RongCloud's name of the field."""

    USER = "userId"
    GROUP = "groupId"
    REMARK = "remark"
    EXPECTED = "expected"
    """The alias that must be set now; a column has this role only where it is named."""


FLAGS = {
    Role.USER: "--user-column",
    Role.GROUP: "--group-column",
    Role.REMARK: "--remark-column",
    Role.EXPECTED: "--expect-column",
}

# As `fold` leaves them: lower case, no spaces, no "_" or "-".
_KNOWN_NAMES = {
    Role.USER: (
        "userid uid user useridentifier usercode useruid rcuserid rongcloudid imuserid "
        "memberid member memberuserid groupmemberid userno usernumber imid imaccount "
        "用户id 用户 用户编号 用户标识 用户uid 成员id 成员 成员编号 成员用户id "
        "会员id 会员编号 群成员id 用户号 用户账号 用户编码 成员账号 融云id 融云用户id 用戶id 用戶 成員id 成員 會員id"
    ),
    Role.GROUP: (
        "groupid gid group groupidentifier groupcode groupgid rcgroupid imgroupid chatgroupid groupchatid "
        "群组id 群组 群id 群 群组编号 群编号 群号 群聊id 群聊 群标识 群组标识 群组号 群聊编号 群组编码 "
        "融云群id 融云群组id 群組id 群組 群組編號"
    ),
    Role.REMARK: (
        "remark remarks alias nickname nick pushalias pushremark pushname groupalias "
        "groupnickname groupremark memberalias useralias remarkname aliasname "
        "备注 备注名 群昵称 昵称 别名 推送备注 推送备注名 推送别名 推送昵称 群备注 "
        "群成员昵称 群内昵称 群内名称 群内备注 群组昵称 群名片 成员昵称 成员备注 群成员备注 "
        "備註 備註名 備注 群暱稱 暱稱 別名 推送備註"
    ),
    Role.EXPECTED: "",
}
# Names that may be meant, but are used for other things too: an error proposes them, nothing takes them by itself.
_PROPOSED_NAMES = {
    Role.USER: "id account accid employeeid employeeno staffid 员工编号 员工id 员工号 工号 账号 帐号 编号",
    Role.GROUP: "targetid conversationid teamid roomid channelid 会话id 团队id 房间号 频道id 群名 群名称",
    Role.REMARK: "name displayname username fullname 姓名 名字 名称 显示名 显示名称 用户名 员工姓名 真实姓名 花名",
    Role.EXPECTED: "",
}
KNOWN_NAMES = {role: frozenset(names.split()) for role, names in _KNOWN_NAMES.items()}
PROPOSED_NAMES = {role: frozenset(names.split()) for role, names in _PROPOSED_NAMES.items()}
_REMARK_OF_FORMS = re.compile(r"\((?:必填项?|选填项?|required|optional)\)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """The column of a role: its position from 0, its header as the source writes it, and how it was found, in words."""

    index: int
    name: str
    why: str


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns that are read: three, or four."""

    user: Column
    group: Column
    remark: Column
    expected: Column | None = None  # of the alias that must be set now

    def __iter__(self) -> Iterator[Column]:
        yield from (self.user, self.group, self.remark)
        if self.expected is not None:
            yield self.expected

    @property
    def indexes(self) -> tuple[int, ...]:
        """Their positions, from 0."""
        return tuple(column.index for column in self)

    @property
    def names(self) -> tuple[str, ...]:
        """Their headers, as the source writes them."""
        return tuple(column.name for column in self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """Consecutive rows of a source, as it has them: they may differ in length, and a blank one may be empty."""

    first: int  # the number of the first row, as a spreadsheet shows it
    rows: list[list[str]] = field(default_factory=list)
    problems: dict[int, list[RowProblem]] = field(default_factory=dict)  # that the reader found, by position in rows


class Reader(Protocol):
    """An open source of one format."""

    description: str  # the format as it was found: "CSV, UTF-8, comma"
    header: tuple[str, ...]  # the column names, without the white space around them

    def chunks(self, columns: Columns) -> Iterator[Chunk]:
        """Read the rows under the header, once. Raises ``SourceError`` where the file is damaged."""
        ...


def fold(name: str) -> str:
    """A header without case, full-width forms, white space, ``_-*:'``, invisible characters and "(required)"."""
    plain = "".join(
        character
        for character in unicodedata.normalize("NFKC", name).casefold()
        if character not in "_-*:'" and not character.isspace() and unicodedata.category(character) not in {"Cf", "Cc"}
    )
    return _REMARK_OF_FORMS.sub("", plain)


def letters(index: int) -> str:
    """The letters by which a spreadsheet names the column at a position from 0: ``A``, ``Z``, ``AA``."""
    index, letter = divmod(index, 26)
    return (letters(index - 1) if index else "") + chr(ord("A") + letter)


def roles(reading: Reading) -> list[Role]:
    """The roles that need a column."""
    return [role for role in Role if role is not Role.EXPECTED or reading.expect_column is not None]


def candidates(header: tuple[str, ...], reading: Reading, *, positions: bool = True) -> dict[Role, list[int]]:
    """The columns that fit each role; one that is named for a role fits no other by its known name.

    A column is named by its header or else, with ``positions``, by its letter or its number from 1.
    """
    found = {}
    for role, name in _named_columns(reading).items():
        if name is not None:
            exact = [index for index, column in enumerate(header) if column == name.strip()]
            similar = [index for index, column in enumerate(header) if column and fold(column) == fold(name)]
            by_position = [i for i in range(len(header)) if name.strip().upper() in {letters(i), str(i + 1)}]
            found[role] = exact or similar or (by_position if positions else [])
    taken = {index for indexes in found.values() for index in indexes}
    free = [(index, fold(column)) for index, column in enumerate(header) if index not in taken]
    for role in set(roles(reading)) - set(found):
        found[role] = [index for index, name in free if name in KNOWN_NAMES[role]]
    return found


def find_columns(header: tuple[str, ...], reading: Reading, *, where: Message | None = None) -> Columns:
    """Find the column of each role in a header, or as the user named it; an error says ``where`` that header stands.

    Raises:
        SourceError: A role has no column or several, or two roles have the same.
    """
    found = candidates(header, reading)
    columns = Columns(*(_only_column(role, found[role], header, reading, where) for role in roles(reading)))
    if len(set(columns.indexes)) < len(columns.indexes):
        advice = N_("Name a different column with each of {flags}.")
        values = {"columns": listing(columns.names), "flags": flags_of(reading)}
        raise SourceError("One column was named for two roles: {columns}.", advice, **values)
    return columns


def flags_of(reading: Reading) -> str:
    """The flags that name the columns, as a list in words."""
    return enumeration(FLAGS[role] for role in roles(reading))


def _named_columns(reading: Reading) -> dict[Role, str | None]:
    names = (reading.user_column, reading.group_column, reading.remark_column, reading.expect_column)
    return dict(zip(Role, names, strict=True))


def _only_column(
    role: Role, candidates: list[int], header: tuple[str, ...], reading: Reading, where: Message | None
) -> Column:
    wanted = _named_columns(reading)[role]
    names = [header[index] for index in candidates]
    values = {"role": role, "flag": FLAGS[role], "columns": listing(list(filter(None, header))), "where": where}
    if len(names) == 1:
        why = _("its header is a known name for {role}", role=role)
        if wanted is not None:
            why = _("named by {flag}", flag=FLAGS[role])
        return Column(index=candidates[0], name=names[0], why=why)
    if len(set(names)) == 1:
        problem = N_("The header {name} occurs {number} times (columns {positions}).")
        advice = N_("Rename those that are not the {role}, or name the right one by its letter with {flag}.")
        positions = enumeration(map(letters, candidates))
        raise SourceError(problem, advice, name=quoted(names[0]), number=len(names), positions=positions, **values)
    if names:
        problem = N_("More than one column could be the {role}: {candidates}; the columns are {columns}.")
        raise SourceError(problem, "Name it with {flag}.", candidates=listing(names), **values)
    advice = N_("Name it with {flag}: its header, letter or number.")
    if wanted is not None:
        problem = N_("No column is named {name}; the columns are {columns}.")
        if where:
            problem = N_("No column {where} is named {name}; the columns are {columns}.")
        raise SourceError(problem, advice, name=quoted(wanted), **values)
    if proposed := next((name for name in header if fold(name) in PROPOSED_NAMES[role]), ""):
        advice = N_("If {name} is meant: {flag} {proposed}.")
        values |= {"name": quoted(proposed), "proposed": shlex.quote(proposed)}
    problem = N_("No column for {role} was found; the columns are {columns}.")
    if where:
        problem = N_("No column for {role} was found {where}; the columns are {columns}.")
    raise SourceError(problem, advice, **values)
