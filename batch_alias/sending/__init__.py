"""Sending rows: when an attempt may start, on which connection, and what a response means for its row and the run.

It is given a ledger, a service that executes operations, and a rate limiter, and knows none of their implementations.
"""
