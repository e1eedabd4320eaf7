"""What runs in a lane's process. Begin with `worker`; it is forked by `tending`.

Imported in each worker, so nothing here loads pandas, rich, typer or pyarrow.
"""
