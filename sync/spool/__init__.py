"""The spool: files that hold calls while the store cannot take them, so that a sender is answered 200 and nothing is lost.

Segment's SDKs give up after seconds (Node after about one); a database is away for minutes. What is answered 200 is in a file by
then, written through to the disk. While anything lies in the files, all that comes goes behind it, so that the order stays.

    take ──store can take it and nothing lies here──> store
      └────otherwise──> files ──one drainer, in order, once the store is back──> store

Knows files and the order of calls. Does not know what the store is: it is given a function that makes calls durable there, or
raises Unreachable. Calls carry their message ids, and rejected ones an id of their own, so that putting one there twice, after a
crash between the two, changes nothing.
"""

from __future__ import annotations

from sync.spool.lying import Lying, look
from sync.spool.segments import SET_ASIDE, try_out
from sync.spool.spool import Spool

__all__ = ["SET_ASIDE", "Lying", "Spool", "look", "try_out"]
