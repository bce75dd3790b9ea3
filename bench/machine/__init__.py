"""What the machine is and what else it does meanwhile, as the idle parent sees it."""
