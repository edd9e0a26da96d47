"""`controlplane bench response`: from the deciding signal to the first effect, in one process, with the journal on."""
