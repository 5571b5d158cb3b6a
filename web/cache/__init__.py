"""Where the audio of the library lies, and the checks that it is what the agent sealed."""
