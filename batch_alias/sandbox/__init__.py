"""RongCloud's alias calls on this machine: the same rules, statuses and answers, and misbehaviour on demand.

Pure: ``exchange`` (requests and answers), ``forms`` (what a body says), ``emulator`` (the rules), ``faults`` (the plan
of misbehaviour), ``outlet`` (what leaves), ``traffic`` (what was seen). Around them: ``connection`` (breaking one off),
``app`` (ASGI), ``server`` (the socket).
"""
