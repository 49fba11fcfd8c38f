"""Sending the rows of a job by several processes, on one machine or many: PostgreSQL holds the ledger and the quota."""
