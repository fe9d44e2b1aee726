"""What this machine offers and forbids: processors, control groups, GPUs, descriptors, memory kills."""
