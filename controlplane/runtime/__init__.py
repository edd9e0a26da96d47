"""AnyIO loops: they own tasks, deadlines and queues, and decide nothing."""
