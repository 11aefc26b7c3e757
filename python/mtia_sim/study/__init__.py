"""Studies: which chip for which job, on the device's public interface alone."""
