"""personas-sync keeps Moesif up to date with who is in which audience.

Segment calls come in at `sync.web` (or from a file), are kept by `sync.store`, audiences are worked out by `sync.compute`, and
`sync.send` tells Moesif about the users whose membership changed, and about nobody else. `sync.app` puts the parts together.
"""

__version__ = "0.1.0"
