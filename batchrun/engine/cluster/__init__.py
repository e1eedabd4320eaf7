"""The other engine: rows run on the machines of a Dask cluster, in our own lanes there. Begin with `engine`."""
