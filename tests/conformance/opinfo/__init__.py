"""torch's OpInfo database against the device."""
