"""RongCloud's words: hosts, codes, signatures, bytes on the wire. Nothing of it leaks into the rest of the code."""
