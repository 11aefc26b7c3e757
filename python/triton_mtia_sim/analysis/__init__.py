"""Address and mask analysis before lowering; liveness and placement in local memory after it."""
