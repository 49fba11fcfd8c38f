"""What clients and servers say to each other."""

KEY, SECRET = "an-app-key", "its-s3cret"
"""Of an app that the real service does not know."""
SET, CLEAR, READ = (f"/group/remarks/{call}.json" for call in ("set", "del", "get"))
"""The paths of the calls that set, clear and read an alias."""
QUERY = "/group/user/query.json"
"""The path of the call that lists a group's members."""
FORM = "application/x-www-form-urlencoded"
BODY = b'{"code":200}'
"""The body of an acceptance."""
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n" + BODY
ENDLESS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"10000\r\n" + b" " * 0x10000 + b"\r\n"
"""A body of 64 KiB that does not end."""
