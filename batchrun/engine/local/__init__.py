"""The local engine: this machine's lanes, as the coordinator sees them. Begin with `lanes`, then `lane`.

What runs on the other side of a lane's pipes is in `worker`.
"""
