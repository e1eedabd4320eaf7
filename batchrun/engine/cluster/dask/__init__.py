"""What is Dask's: the connection, the leases on its workers, and what runs inside them."""
