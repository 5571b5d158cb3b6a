"""The capture process: one for each captured interface, detached, so that it survives its agent.

`agent.owner.handle` is the agent's side. All other modules belong to the process itself and import
nothing of ours but `core_rs` and `protocol`, and neither Pydantic nor numpy.
"""
