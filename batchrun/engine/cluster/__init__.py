"""The second kind of engine: rows run on the machines of a cluster, in our own lanes there. Begin with `engine`.

What any cluster needs is here; what is one's own is in a room of its own, behind `link`.
"""
