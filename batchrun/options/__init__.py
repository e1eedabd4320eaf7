"""The options of a run: from the command line, the configuration file, the environment or Python. Begin with
`table`.
"""
