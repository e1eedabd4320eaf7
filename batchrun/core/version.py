"""The version of this program. Here, and not in `batchrun` itself, so that all rooms may know it."""

VERSION = "0.1.0"
