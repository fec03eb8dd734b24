"""``make chaos``: the local cloud with real recordings, while everything that can break is broken.

``clips`` makes the work, ``drive`` is the clients that ask for it, ``faults`` breaks things, ``echo`` delivers every
event again, ``account`` counts at the end what must be nothing; ``run`` puts them together.
"""
