"""Pure rules and values of the controller. Imports nothing of ours but `protocol`."""
