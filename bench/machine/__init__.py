"""What the machine is, and what else it does during a job; read by the parent, which is idle."""
