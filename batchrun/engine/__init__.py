"""Where rows run: this machine's lanes (`local`), or a cluster's. `worker` runs in each lane's process."""
