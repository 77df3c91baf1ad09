"""The three session machines joined in memory, with everything that can go wrong between them.

One session: a client, gateways that come and go with its connections, workers that die, freeze,
hand over and take over, a broker that loses, repeats and reorders, and a store with the fence and
the checkpoint. The shells here do in miniature what the real ones do; what is tested is that the
machines keep the session's promises under any order of events.
"""

from tests.support.session_world.world import World

__all__ = ["World"]
