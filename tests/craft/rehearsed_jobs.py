"""Jobs whose children go through the motions first."""

import os

_rehearsed_in = []


def rehearse():
    _rehearsed_in.append(os.getpid())


def who(_):
    return {"pid": os.getpid(), "rehearsed_in": _rehearsed_in}
