"""RongCloud's alias calls on this machine: the same rules, statuses and answers, and misbehaviour on demand.

``emulator`` keeps the rules, ``faults`` plans the misbehaviour, ``outlet`` says what an answer looks like on the wire
(the three are pure); ``traffic`` counts; ``server`` puts them behind a socket.
"""
