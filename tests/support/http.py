"""What clients and servers say to each other."""

KEY, SECRET = "an-app-key", "its-s3cret"
"""Of an app that the real service does not know."""
SET = "/group/remarks/set.json"
"""The path of the call that sets an alias."""
FORM = "application/x-www-form-urlencoded"
BODY = b'{"code":200}'
"""The body of an acceptance."""
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n" + BODY
ENDLESS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"10000\r\n" + b" " * 0x10000 + b"\r\n"
"""A body of 64 KiB that does not end."""
