"""Processes that read what strangers wrote, and may be lost while doing so.

A child can open no file, no socket and no descriptor at all (``RLIMIT_NOFILE`` 0), writes no file, knows no secret,
has bounded memory and CPU time, and ends with its parent. It asks for the bytes that it reads and hands over those
that it writes. So a decoder's crash, hang or greed costs one file. It is not a wall against code that has taken a
decoder over: that still runs as the same user, and could send that user's processes signals.
"""
