"""RongCloud's server API: hosts, codes, signatures, the bytes on the wire, the HTTP client.

Its names and formats are used here and nowhere else.
"""
