"""The kinds of problems a row can have, by their stable names.

A rejection keeps its row from being sent. Some can be let through by ``--accept``: those where the file does hold a
text that RongCloud would take, and only a person can know whether it is the text that was meant. A warning does not
keep its row from being sent, unless ``--strict``.
"""

ACCEPTABLE = {
    "control-character-in-id": "a control character in an id",
    "invisible-character-in-id": "a zero-width, bidi or unusual space character in an id",
    "full-width-character-in-id": "a full-width digit, letter or sign in an id",
    "scientific-notation-in-id": "an id like 1.23457E+15: a spreadsheet has cut its digits off",
    "decimal-in-id": "an id like 123.0: a number that should be text",
    "error-value-in-id": "an id like #N/A",
    "number-too-long": "a numeric cell of 15 digits or more: a spreadsheet keeps 15 (no more can be let through)",
    "number-format": "a numeric cell that Excel shows in another way than it is stored",
}
"""Rejections that ``--accept`` lets through, and what they mean."""

REJECTIONS = ACCEPTABLE | {
    "too-few-fields": "fewer fields than the header",
    "too-many-fields": "more fields than the header",
    "misplaced-quote": "a quote that is not closed, or closed in the middle of a field",
    "not-an-object": "a line that is not a JSON object",
    "not-text": "a JSON value that is neither text nor a whole number",
    "surrogate-character": "half a character, which no encoding can carry",
    "nul-character": "a NUL character",
    "error-cell": "an error cell such as #N/A",
    "boolean-in-id": "a TRUE or FALSE cell in an id column",
    "date-in-id": "a date or time cell in an id column",
    "date-in-remark": "a date or time cell in the alias column: its text is not in the file",
    "empty-user-id": "no user id",
    "empty-group-id": "no group id",
    "empty-remark": "no alias",
    "user-id-too-long": "a user id of more than 64 bytes",
    "group-id-too-long": "a group id of more than 64 characters",
}
"""All rejections, and what they mean."""

WARNINGS = {
    "id-outside-letters-and-digits": "an id with other characters than the letters and digits RongCloud documents",
    "zeros-after-15-digits-in-id": "an id of digits that are zeros from the 16th on: a spreadsheet may have cut it off",
    "remark-over-64-characters": "an alias of more than 64 characters",
    "line-break-in-remark": "an alias with a line break or another control character",
    "bidi-control-in-remark": "an alias with invisible characters that turn the direction of writing",
    "formula-error-in-remark": "an alias like #N/A",
    "null-word-in-remark": "an alias like NULL, None or nan",
    "white-space-removed": "white space around a value, which is not sent",
    "ids-differ-only-in-case": "ids that are the same but for capital letters: to RongCloud they are two",
    "zeros-restored": "a number whose leading zeros were taken from its number format",
}
"""All warnings, and what they mean. A rejection let through by ``--accept`` becomes a warning of its own name."""
