"""One file per outside thing. Adapters implement `ports` and never import the runtime or each other's rooms."""
