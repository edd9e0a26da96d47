"""What telemetry of others costs: spans decoded and folded into edges, beside the generated reader doing the same."""
