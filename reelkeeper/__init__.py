"""The command `reelkeeper`: the only package that knows both the controller and the agent."""
