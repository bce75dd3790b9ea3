"""How each framework trains a workload: one small class per framework, behind one interface."""
