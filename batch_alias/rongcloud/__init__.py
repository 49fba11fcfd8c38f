"""RongCloud's server API: hosts, codes, signatures, the bytes on the wire, the HTTP client.

No other package makes a request or parses a response.
"""
