"""torch.distributed on the device: several ranks on this host."""
