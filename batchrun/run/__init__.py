"""The run: one loop, and the pure decisions that it takes. Begin with `run`.

What runs rows is an engine (`local`, `cluster`); what is prepared for a run and follows it is in `main`.
"""
