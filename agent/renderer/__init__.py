"""The process that follows a take and writes one rendition of it. It needs no agent to go on."""
