"""RongCloud's alias calls on this machine: the same rules, statuses and responses, and faults on demand.

``server`` (``serve``, ``serve_forever``) puts a ``Sandbox`` behind a socket.
"""

from batch_alias.sandbox.emulator import Rules, Write
from batch_alias.sandbox.faults import Draw, Fault, FaultPlan, Faults
from batch_alias.sandbox.sandbox import Sandbox, Stats

__all__ = ["Draw", "Fault", "FaultPlan", "Faults", "Rules", "Sandbox", "Stats", "Write"]
