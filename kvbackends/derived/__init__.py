"""What every store can do with five methods: the defaults of `kvbackends.store.Store`."""
